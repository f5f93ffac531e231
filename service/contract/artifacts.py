"""Manifest of a finished artifact, and the paths of a job's files in the store."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from service.contract.formats import Format, WeightSizes
from service.contract.provenance import Provenance
from service.contract.signatures import SignatureFacts


class ManifestFile(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="POSIX path within the artifact")
    bytes: int = Field(ge=0, description="size in bytes")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """`manifest.json`: the files of one artifact. Written last and only if absent; a file that is not listed does not exist.

    Unknown fields of a newer service are ignored, so that older clients can still download the artifact.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = Field(1, description="version of this file's fields; 1 in artifacts of before the field as well")
    job_id: str
    fence: int = Field(description="number of the attempt")
    files: list[ManifestFile]
    formats: list[Format] = Field(["dense"], description="formats of the weights among the files")
    weight_bytes: WeightSizes | None = Field(None, description="null in artifacts of earlier versions")
    provenance: Provenance | None = Field(None, description="as in `provenance.json`; null in artifacts of earlier versions")
    signature: SignatureFacts | None = Field(None, description="null if the worker has no signing key")


MANIFEST_NAME: Final = "manifest.json"
SUMS_NAME: Final = "SHA256SUMS"
REPORT_NAME: Final = "report.html"
"""HTML report of the job."""


def job_prefix(job_id: object) -> str:
    """Return the prefix in the store of everything that a job writes."""
    return f"jobs/{job_id}"


def artifact_prefix(job_id: object, fence: int) -> str:
    """Return the prefix of an attempt's files. It contains the fence, so that two attempts never share a file."""
    return f"{job_prefix(job_id)}/{fence}"


def blocks_prefix(job_id: object) -> str:
    """Return the prefix of a job's finished blocks, from which its next attempt resumes, on any host."""
    return f"{job_prefix(job_id)}/blocks"
