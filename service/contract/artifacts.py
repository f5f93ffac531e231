"""How a finished artifact is described."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field


class ManifestFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """`manifest.json`: the files of one artifact. Written last and only if absent; what it does not list does not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: str
    fence: int
    files: list[ManifestFile]


MANIFEST_NAME: Final = "manifest.json"


def job_prefix(job_id: object) -> str:
    """Where all that a job puts into the store lies."""
    return f"jobs/{job_id}"


def artifact_prefix(job_id: object, fence: int) -> str:
    """Where an attempt's files lie in the store. The fence is in the path, so that two attempts never share a file."""
    return f"{job_prefix(job_id)}/{fence}"


def blocks_prefix(job_id: object) -> str:
    """Where the blocks that a job's attempts have finished lie in the store, for the next attempt, on whatever host."""
    return f"{job_prefix(job_id)}/blocks"
