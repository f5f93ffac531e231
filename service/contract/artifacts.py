"""How a finished artifact is described."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from service.contract.formats import Format, WeightSizes
from service.contract.provenance import Provenance
from service.contract.signatures import SignatureFacts


class ManifestFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """`manifest.json`: the files of one artifact. Written last and only if absent; what it does not list does not exist.

    What a newer service says of it beside that is passed over, so that older clients can still fetch it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    fence: int
    files: list[ManifestFile]
    formats: list[Format] = Field(["dense"], description="in which the weights are among the files")
    weight_bytes: WeightSizes | None = Field(None, description="null in artifacts of earlier versions")
    provenance: Provenance | None = Field(None, description="as in `provenance.json`; null in artifacts of earlier versions")
    signature: SignatureFacts | None = Field(None, description="null where the worker has no key to sign with")


MANIFEST_NAME: Final = "manifest.json"
SUMS_NAME: Final = "SHA256SUMS"
REPORT_NAME: Final = "report.html"
"""A page about the job, for people."""


def job_prefix(job_id: object) -> str:
    """Where all that a job puts into the store lies."""
    return f"jobs/{job_id}"


def artifact_prefix(job_id: object, fence: int) -> str:
    """Where an attempt's files lie in the store. The fence is in the path, so that two attempts never share a file."""
    return f"{job_prefix(job_id)}/{fence}"


def blocks_prefix(job_id: object) -> str:
    """Where the blocks that a job's attempts have finished lie in the store, for the next attempt, on whatever host."""
    return f"{job_prefix(job_id)}/blocks"
