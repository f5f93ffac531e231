"""Quotas: a tenant's limits and its use. Those of the claim (`service.jobs.attempts.turns`) have no setting, only a default."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from service.contract.spec import MAX_PRIORITY, JobSpec
from service.database.engine import Database, Session
from service.database.tables.quotas import TenantQuota
from service.errors import InvalidInput
from service.settings import Settings
from service.tenants.quotas import repository


@dataclass(frozen=True)
class Limits:
    """Limits of one tenant: the service's settings, each of which the tenant's own quota may override."""

    max_queued_jobs: int
    max_running_jobs: int | None
    """None: no limit."""
    share: int
    """Weight of the tenant's turns at the workers."""
    max_priority: int
    max_datasets_bytes: int
    max_triggers: int
    max_webhooks: int
    reads_per_minute: int
    """Of all API keys together; 0: no limit."""
    writes_per_minute: int
    """Of all API keys together; 0: no limit."""
    keep_jobs_seconds: float | None
    """Retention of ended jobs. This and the next: None: unlimited."""
    keep_artifacts_seconds: float | None
    keep_layers_seconds: float | None
    keep_audit_seconds: float | None


LIMITS = tuple(field.name for field in fields(Limits))
_DEFAULTS: Final = {"max_running_jobs": None, "share": 1, "max_priority": MAX_PRIORITY}
"""Limits without a setting."""
_RETENTION: Final = tuple(name for name in LIMITS if name.startswith("keep_"))
"""Limits of which 0 means unlimited."""


@dataclass(frozen=True)
class Use:
    """Current use of the limited resources."""

    queued_jobs: int
    running_jobs: int
    datasets_bytes: int
    triggers: int
    webhooks: int
    artifacts_bytes: int


def limits_of(settings: Settings, quota: TenantQuota | None) -> Limits:
    """Return the settings' limits, overridden by those of `quota`."""
    own = {name: getattr(quota, name, None) for name in LIMITS}
    others = {name: getattr(settings, name) for name in LIMITS if name not in _DEFAULTS} | _DEFAULTS
    limits: dict[str, Any] = {name: others[name] if value is None else value for name, value in own.items()}
    return Limits(**limits | {name: limits[name] or None for name in _RETENTION})


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


def check_priority(session: Session, settings: Settings, spec: JobSpec, tenant: str) -> None:
    """Raise InvalidInput if the tenant's quota does not allow the priority. The lowest one costs no query."""
    if not spec.priority:
        return
    most = limits_in(session, settings, tenant).max_priority
    if spec.priority > most:
        detail = f"priority {spec.priority} is above {most}, the highest that your tenant's quota allows; lower it"
        raise InvalidInput(detail, errors=[{"pointer": "/priority", "detail": detail}])
