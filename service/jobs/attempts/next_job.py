"""Next job of one tenant: SQL of the highest priority, then the oldest, with a bounded preference for cached models."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import aliased

from service.contract.devices import DeviceClass
from service.database.engine import in_seconds
from service.database.tables.jobs import Job
from service.jobs.attempts.turns import is_claimable

PATIENCE_SECONDS: Final = 600.0
"""Waiting time from which a job is served by its age, wherever its model is cached."""
WINDOW: Final = 20
"""First jobs of a tenant's queue among which a worker looks for a cached model."""


def next_job(tenant: str, device: DeviceClass, cached_models: Collection[str]) -> Select[Any]:
    """Build the query of the id of the tenant's next job; parameter `worker` as in `is_claimable`.

    Of the first jobs in the queue, those of a cached model are preferred: among jobs of one priority that have waited for less
    than `PATIENCE_SECONDS`, so that a job is passed over for that time at most.
    """
    queue = Job.priority.desc(), Job.created_at, Job.id
    best = select(Job.id).where(Job.tenant == tenant, *is_claimable(Job, device)).limit(1)
    if not cached_models:
        return best.order_by(*queue)
    first = aliased(Job)
    window = (
        select(first.id)
        .where(first.tenant == tenant, *is_claimable(first, device))
        .order_by(first.priority.desc(), first.created_at, first.id)
        .limit(WINDOW)
        .subquery()
    )
    has_waited = Job.created_at < in_seconds(-PATIENCE_SECONDS)
    by_priority, *by_age = queue
    near = best.join(window, window.c.id == Job.id)
    is_preferred = ~has_waited & _model_key().in_(cached_models)
    return near.order_by(by_priority, has_waited.desc(), is_preferred.desc(), *by_age)


def _model_key() -> ColumnElement[str]:
    """Build the expression of the job's model as `service.contract.model_spec.cache_key` writes it."""
    model = Job.spec["model"]
    return func.concat(model["source"].as_string(), ":", Job.model, "@", model["revision"].as_string())
