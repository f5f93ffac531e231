"""Quotas: a tenant's limits and its use."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from service.database.engine import Database, Session
from service.database.tables.quotas import TenantQuota
from service.settings import Settings
from service.tenants.quotas import repository


@dataclass(frozen=True)
class Limits:
    """Limits of one tenant: the service's settings, each of which the tenant's own quota may override."""

    max_queued_jobs: int
    max_datasets_bytes: int
    max_triggers: int
    max_webhooks: int
    reads_per_minute: int
    """Of all API keys together; 0: no limit."""
    writes_per_minute: int
    """Of all API keys together; 0: no limit."""


LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True)
class Use:
    """Current use of the limited resources."""

    queued_jobs: int
    datasets_bytes: int
    triggers: int
    webhooks: int
    artifacts_bytes: int


def limits_of(settings: Settings, quota: TenantQuota | None) -> Limits:
    """Return the settings' limits, overridden by those of `quota`."""
    own = {name: getattr(quota, name, None) for name in LIMITS}
    return Limits(**{name: getattr(settings, name) if value is None else value for name, value in own.items()})


def limits_in(session: Session, settings: Settings, tenant: str) -> Limits:
    """Return the tenant's limits, within an open transaction."""
    return limits_of(settings, repository.get(session, tenant))


def tenant_limits(database: Database, settings: Settings, tenant: str) -> Limits:
    """Return the tenant's limits."""
    with database.begin() as session:
        return limits_in(session, settings, tenant)


def own_limits(database: Database, tenant: str) -> dict[str, int]:
    """Return the limits in the tenant's own quota, which override the settings."""
    with database.begin() as session:
        quota = repository.get(session, tenant)
    own = {name: getattr(quota, name, None) for name in LIMITS}
    return {name: value for name, value in own.items() if value is not None}


def set_limits(database: Database, tenant: str, limits: Mapping[str, int] | None) -> None:
    """Set these limits in the tenant's own quota; the others stay. None deletes the quota."""
    with database.begin() as session:
        if limits is None:
            repository.remove(session, tenant)
        else:
            repository.put(session, tenant, limits)
