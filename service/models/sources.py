"""One interface to the three model sources (hub, model root, earlier job): metadata and pinned revision."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.contract.model_spec import ModelSpec
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.models.artifact import ArtifactFiles, pinned, usable
from service.models.checks.operations import ModelChecks
from service.models.folder import folder_files
from service.models.headers import Files
from service.models.hub_client import COMMIT, Hub, Repository
from service.models.known_outlines import KnownOutlines
from service.models.refusals import HubUnavailable
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from service.tenants.shares import Pool, PoolFull, ShareExceeded

_LOOKUPS: Final = 16
FindJob = Callable[[UUID, str], Job | None]
"""Lookup of a job by id and tenant."""


@dataclass(frozen=True)
class Found:
    """A model with its revision pinned and its readable files."""

    model: ModelSpec
    files: Files
    license: str | None = None


class ModelSources:
    """Model lookup for the service, which never downloads weights."""

    def __init__(self, settings: Settings, database: Database, store: ArtifactStore, find_job: FindJob) -> None:
        self._settings, self._store, self._find_job = settings, store, find_job
        self._hub = Hub(settings)
        self.checks = ModelChecks(database, wait_seconds=settings.model_check_seconds, silent_seconds=settings.lease_seconds)
        self.outlines = KnownOutlines()
        self.lookups = Pool("look-ups of models", _LOOKUPS)
        """Requests that look up a model; each holds a thread of the service for seconds."""

    def close(self) -> None:
        """Close the hub client."""
        self._hub.close()

    @property
    def has_folders(self) -> bool:
        """Whether this process can read local models, which may exist on the workers only."""
        return self._settings.model_root.is_dir()

    def find(self, model: ModelSpec, *, tenant: str, seconds: float) -> Found:
        """Return the model with its revision pinned.

        Args:
            seconds: timeout of each request to the hub.

        Raises:
            ModelRefused: the model does not exist, or this tenant may not use it.
            HubUnavailable, StoreUnavailable: the source cannot be reached at the moment.
        """
        if model.source == "local":
            return Found(model, folder_files(self._settings, model.id))
        if model.source == "job":
            return self._of_job(model, tenant)
        repository = self._hub.repository(model, tenant, seconds)
        return Found(_at(model, repository), repository, repository.license)

    def pin(self, model: ModelSpec, *, tenant: str) -> tuple[ModelSpec, Files | None]:
        """Pin the revision for a job creation, which neither waits long for the hub nor fails because of it.

        A full commit id needs no request. If the hub times out, or the tenant's look-ups are at its share, the worker pins the
        revision. In all these cases the files are None.
        """
        if model.source == "local" and not self.has_folders:
            return model, None
        if model.source == "hub":
            self._hub.check_allowed(model.id)
            if COMMIT.fullmatch(model.revision or ""):
                return model, None
        try:
            with self.lookups.hold(tenant) if model.source == "hub" else nullcontext():
                found = self.find(model, tenant=tenant, seconds=self._settings.hub_seconds)
        except (HubUnavailable, PoolFull, ShareExceeded):
            return model, None
        return found.model, found.files

    def _of_job(self, model: ModelSpec, tenant: str) -> Found:
        job_id = UUID(model.id)
        job = usable(self._find_job(job_id, tenant), job_id)
        return Found(pinned(model, job), ArtifactFiles(self._store, str(job.artifact_prefix)))


def _at(model: ModelSpec, repository: Repository) -> ModelSpec:
    return model.model_copy(update={"revision": repository.commit})
