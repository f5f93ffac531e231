"""Artifacts of earlier jobs as the model of a new job."""

from collections.abc import Mapping
from uuid import UUID

from service.contract.model_spec import ModelSpec
from service.contract.states import JobState
from service.database.tables.jobs import Job
from service.models.refusals import ModelNotFound
from service.storage.artifact_store import ArtifactStore
from service.storage.manifests import manifest_at


class ArtifactFiles:
    """The files that a job's manifest lists."""

    def __init__(self, store: ArtifactStore, prefix: str) -> None:
        """Read the manifest under `prefix`. Raises ModelNotFound; StoreUnavailable."""
        self._store, self._prefix = store, prefix
        try:
            self.sizes: Mapping[str, int] = {file.path: file.bytes for file in manifest_at(store, prefix).files}
        except FileNotFoundError:
            raise _gone() from None

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file. Raises ModelNotFound: the file is gone; StoreUnavailable."""
        try:
            return self._store.read_range(f"{self._prefix}/{name}", start, min(end, self.sizes[name]))
        except FileNotFoundError:
            raise _gone() from None


def _gone() -> ModelNotFound:
    return ModelNotFound("the earlier job's artifact is no longer in the store, or its manifest is damaged")


def usable(job: Job | None, job_id: UUID) -> Job:
    """Return the job if it has a usable artifact with dense weights. Raises ModelNotFound."""
    if job is None:
        raise ModelNotFound(f"there is no job {job_id}")
    if job.state != JobState.SUCCEEDED or job.artifact_prefix is None:
        raise ModelNotFound(f"job {job_id} has no artifact; it is {job.state}")
    if job.artifact_removed_at is not None:
        raise ModelNotFound(f"the artifact of job {job_id} was removed on {job.artifact_removed_at:%Y-%m-%d}")
    formats = job.spec["output"]["formats"]
    if "dense" not in formats:
        has = " and ".join(formats)
        raise ModelNotFound(
            f"job {job_id} has published only {has} weights, but a job needs dense weights as its input; "
            "repeat it with `dense` among its output.formats"
        )
    return job


def pinned(model: ModelSpec, job: Job) -> ModelSpec:
    """Return the model with the artifact's fence as revision. Raises ModelNotFound: `model` names another revision."""
    fence = str(job.artifact_prefix).rpartition("/")[2]
    if model.revision not in (None, fence):
        raise ModelNotFound(f"job {job.id} has no artifact {model.revision}; omit the revision", "revision")
    return model.model_copy(update={"revision": fence})
