"""Published artifacts of jobs. Only the manifest that the job's row names is trusted, and only files it lists exist."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from service.contract.artifacts import MANIFEST_NAME, Manifest, ManifestFile
from service.database.engine import Database
from service.errors import NotFound
from service.jobs import operations as jobs
from service.storage.artifact_store import ArtifactStore
from service.storage.manifests import manifest_at


class ArtifactNotFound(NotFound):
    """The job has no artifact, or not yet, or the artifact has no such file."""


@dataclass(frozen=True)
class Artifact:
    """The manifest of a job's artifact, and the prefix of its files in the store."""

    manifest: Manifest
    prefix: str

    def file(self, path: str) -> ManifestFile | None:
        """Return the file with this path, or None if the manifest does not list it."""
        return next((file for file in self.manifest.files if file.path == path), None)


@dataclass(frozen=True)
class Download:
    """A file of an artifact and its location: exactly one of `path` and `url`."""

    file: ManifestFile
    path: Path | None = None
    url: str | None = None
    changed: str = ""
    """Suffix of the ETag of a local file that was changed after the manifest was written."""


def artifact_of(database: Database, store: ArtifactStore, job_id: UUID, *, tenant: str) -> Artifact:
    """Return the artifact of a job.

    Raises:
        JobNotFound, ArtifactNotFound, StoreUnavailable
    """
    job = jobs.get(database, job_id, tenant=tenant)
    if job.artifact_removed_at is not None:
        raise ArtifactNotFound(
            f"the artifact was removed on {job.artifact_removed_at:%Y-%m-%d}; create the job again from its spec"
        )
    if job.artifact_prefix is None:
        raise ArtifactNotFound(f"the job has no artifact; it is {job.state}")
    try:
        return Artifact(manifest_at(store, job.artifact_prefix), job.artifact_prefix)
    except FileNotFoundError:
        raise ArtifactNotFound("the artifact is no longer in the store, or its manifest is damaged") from None


def locate(
    database: Database, store: ArtifactStore, job_id: UUID, path: str, *, tenant: str, method: str, presign_seconds: int
) -> Download:
    """Return the location of one file of the artifact.

    Raises:
        JobNotFound, ArtifactNotFound, StoreUnavailable
    """
    artifact = artifact_of(database, store, job_id, tenant=tenant)
    file = artifact.file(path)
    if file is None:
        raise ArtifactNotFound("the artifact's manifest lists no such file")
    place = f"{artifact.prefix}/{path}"
    try:
        local = store.local(place)
    except FileNotFoundError:
        raise ArtifactNotFound("the file is no longer in the store") from None
    if local is None:
        return Download(file, url=store.sign(method, place, presign_seconds))
    manifest = store.local(f"{artifact.prefix}/{MANIFEST_NAME}")
    at, published = local.stat().st_mtime_ns, manifest.stat().st_mtime_ns if manifest else 0
    return Download(file, path=local, changed=f"-{at:x}" if at > published else "")
