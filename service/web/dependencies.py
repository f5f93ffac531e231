"""Resources of a service process, and the FastAPI dependencies that provide them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.database.engine import Database
from service.jobs.events.wakeups import Wakeups
from service.models.sources import ModelSources
from service.ops.health.operations import Readiness
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from service.tenants.rates.limiter import RateLimiter
from service.tenants.shares import Pool


@dataclass(frozen=True)
class Resources:
    """Resources opened at application startup and closed at shutdown."""

    settings: Settings
    database: Database
    store: ArtifactStore
    wakeups: Wakeups
    readiness: Readiness
    models: ModelSources
    uploads: Pool
    rates: RateLimiter


# `async` keeps these on the event loop: a thread switch would cost more than the attribute access.
async def _resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def _settings(resources: Annotated[Resources, Depends(_resources)]) -> Settings:
    return resources.settings


async def _database(resources: Annotated[Resources, Depends(_resources)]) -> Database:
    return resources.database


async def _store(resources: Annotated[Resources, Depends(_resources)]) -> ArtifactStore:
    return resources.store


async def _wakeups(resources: Annotated[Resources, Depends(_resources)]) -> Wakeups:
    return resources.wakeups


async def _uploads(resources: Annotated[Resources, Depends(_resources)]) -> Pool:
    return resources.uploads


async def _rates(resources: Annotated[Resources, Depends(_resources)]) -> RateLimiter:
    return resources.rates


async def _readiness(resources: Annotated[Resources, Depends(_resources)]) -> Readiness:
    return resources.readiness


async def _models(resources: Annotated[Resources, Depends(_resources)]) -> ModelSources:
    return resources.models


TheResources = Annotated[Resources, Depends(_resources)]
TheSettings = Annotated[Settings, Depends(_settings)]
TheDatabase = Annotated[Database, Depends(_database)]
TheStore = Annotated[ArtifactStore, Depends(_store)]
TheWakeups = Annotated[Wakeups, Depends(_wakeups)]
TheReadiness = Annotated[Readiness, Depends(_readiness)]
TheModels = Annotated[ModelSources, Depends(_models)]
TheUploads = Annotated[Pool, Depends(_uploads)]
TheRates = Annotated[RateLimiter, Depends(_rates)]
