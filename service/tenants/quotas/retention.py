"""Rows past their retention, which is a setting that a tenant's quota may override."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, func, select, true
from sqlalchemy.orm import InstrumentedAttribute

from service.database.engine import in_seconds, table_of
from service.database.tables.quotas import TenantQuota

_Time = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


def past_retention(
    since: _Time,
    own: InstrumentedAttribute[int | None],
    keep_seconds: float | None,
    *indexed: ColumnElement[bool],
    also: Callable[[ColumnElement[datetime]], Sequence[ColumnElement[bool]]] = lambda _: (),
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """Build the query of the primary keys of up to `limit` rows that are older than their tenant's retention, the oldest first.

    An index of tenant and `since`, whose predicate is `indexed`, leads to each tenant and to its oldest rows: rows that are
    kept cost nothing, however many there are.

    Args:
        since: time from which the retention counts.
        own: retention in the tenant's own quota; 0: unlimited.
        keep_seconds: retention of the other tenants; None: unlimited.
        also: further conditions, built from the time before which the tenant's rows are past their retention.
    """
    entity: Any = since.class_
    tenants = _tenants(entity.tenant, indexed)
    seconds = func.nullif(own if keep_seconds is None else func.coalesce(own, keep_seconds), 0)
    quota = TenantQuota.tenant == tenants.c.tenant
    until = select(tenants.c.tenant, in_seconds(-seconds).label("until")).outerjoin(TenantQuota, quota).subquery("until")
    old = select(*table_of(entity).primary_key).where(entity.tenant == until.c.tenant, since < until.c.until, *indexed)
    oldest = old.where(*also(until.c.until)).order_by(since).limit(limit).correlate(until).lateral("oldest")
    return select(*oldest.c).select_from(until).join(oldest, true()).where(until.c.until.is_not(None)).limit(limit)


def _tenants(tenant: InstrumentedAttribute[str], indexed: Sequence[ColumnElement[bool]]) -> CTE:
    """Build the query of the tenants that have rows, each found by one step through the index."""
    found = select(func.min(tenant).label("tenant")).where(*indexed).cte("tenants", recursive=True)
    following = select(func.min(tenant)).where(tenant > found.c.tenant, *indexed).correlate(found).scalar_subquery()
    return found.union_all(select(following).where(found.c.tenant.is_not(None)))
