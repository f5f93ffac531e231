"""The three places a job's model may come from, as one: what can be known of a model there, and which state of it is meant."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from service.contract import ModelSpec
from service.database.tables.jobs import Job
from service.models.artifact import ArtifactFiles, pinned, usable
from service.models.checkpoint import CheckpointHeaders
from service.models.folder import folder_files
from service.models.headers import Files, read_headers
from service.models.hub_client import COMMIT, Hub, Repository
from service.models.refusals import HubUnavailable
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore

FindJob = Callable[[UUID, str], Job | None]
"""The job with this id, if it is this tenant's."""


@dataclass(frozen=True)
class Found:
    """A model whose files can be read, and the state of it that is meant."""

    model: ModelSpec
    files: Files
    license: str | None = None

    def headers(self) -> CheckpointHeaders:
        """Raises ModelUnsafe, HubUnavailable, ModelNotFound, StoreUnavailable."""
        return read_headers(self.files, self.model.revision)


class ModelSources:
    """Finds models for the service, which never fetches their weights."""

    def __init__(self, settings: Settings, store: ArtifactStore, find_job: FindJob) -> None:
        self._settings, self._store, self._find_job = settings, store, find_job
        self._hub = Hub(settings)

    def close(self) -> None:
        self._hub.close()

    @property
    def has_folders(self) -> bool:
        """Whether local models can be seen from here, and not from the workers only."""
        return self._settings.model_root.is_dir()

    def find(self, model: ModelSpec, *, tenant: str, seconds: float) -> Found:
        """The model with its revision pinned.

        Args:
            seconds: how long each answer of the hub may take.

        Raises:
            ModelRefused: it does not exist, or this tenant may not use it.
            HubUnavailable, StoreUnavailable: that cannot be told now.
        """
        if model.source == "local":
            return Found(model, folder_files(self._settings, model.id))
        if model.source == "job":
            return self._of_job(model, tenant)
        repository = self._hub.repository(model, tenant, seconds)
        return Found(_at(model, repository), repository, repository.license)

    def pin(self, model: ModelSpec, *, tenant: str) -> tuple[ModelSpec, Files | None]:
        """As `find`, for a creation, which neither waits long for the hub nor fails because of it.

        A commit of the hub needs no answer. Where there is none in time, the worker pins the revision. Then there are no files.
        """
        if model.source == "local" and not self.has_folders:
            return model, None
        if model.source == "hub":
            self._hub.check_allowed(model.id)
            if COMMIT.fullmatch(model.revision or ""):
                return model, None
        try:
            found = self.find(model, tenant=tenant, seconds=self._settings.hub_seconds)
        except HubUnavailable:
            return model, None
        return found.model, found.files

    def _of_job(self, model: ModelSpec, tenant: str) -> Found:
        job_id = UUID(model.id)
        job = usable(self._find_job(job_id, tenant), job_id)
        return Found(pinned(model, job), ArtifactFiles(self._store, str(job.artifact_prefix)))


def _at(model: ModelSpec, repository: Repository) -> ModelSpec:
    return model.model_copy(update={"revision": repository.commit})
