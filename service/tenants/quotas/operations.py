"""What a tenant may have, and what it has."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from service.database.engine import Database, Session
from service.database.tables.quotas import TenantQuota
from service.settings import Settings
from service.tenants.quotas import repository


@dataclass(frozen=True)
class Limits:
    """Of one tenant. Each is a setting of the service, which a quota of the tenant's own may replace."""

    max_queued_jobs: int
    max_datasets_bytes: int
    max_triggers: int
    max_webhooks: int
    reads_per_minute: int
    """Per key; 0: as many as they like."""
    writes_per_minute: int
    """Per key; 0: as many as they like."""


LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True)
class Use:
    """How much of it there is now."""

    queued_jobs: int
    datasets_bytes: int
    triggers: int
    webhooks: int
    artifacts_bytes: int


def limits_of(settings: Settings, quota: TenantQuota | None) -> Limits:
    own = {name: getattr(quota, name, None) for name in LIMITS}
    return Limits(**{name: getattr(settings, name) if value is None else value for name, value in own.items()})


def limits_in(session: Session, settings: Settings, tenant: str) -> Limits:
    return limits_of(settings, repository.get(session, tenant))


def tenant_limits(database: Database, settings: Settings, tenant: str) -> Limits:
    with database.begin() as session:
        return limits_in(session, settings, tenant)


def own_limits(database: Database, tenant: str) -> dict[str, int]:
    """Those in which the tenant differs from the settings."""
    with database.begin() as session:
        quota = repository.get(session, tenant)
    own = {name: getattr(quota, name, None) for name in LIMITS}
    return {name: value for name, value in own.items() if value is not None}


def set_limits(database: Database, tenant: str, limits: Mapping[str, int] | None) -> None:
    """Give the tenant these limits of its own, beside those that it has; None: no more of its own at all."""
    with database.begin() as session:
        if limits is None:
            repository.remove(session, tenant)
        else:
            repository.put(session, tenant, limits)
