"""SQL of per-tenant quotas."""

from collections.abc import Mapping

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.database.tables.quotas import TenantQuota


def get(session: Session, tenant: str) -> TenantQuota | None:
    """Return the tenant's own quota, if it has one."""
    return session.get(TenantQuota, tenant)


def put(session: Session, tenant: str, values: Mapping[str, int]) -> None:
    """Insert or update these limits; the others stay."""
    row = insert(TenantQuota).values(tenant=tenant, **values)
    session.execute(row.on_conflict_do_update(index_elements=["tenant"], set_=dict(values)))


def remove(session: Session, tenant: str) -> None:
    """Delete the tenant's own quota."""
    session.execute(delete(TenantQuota).where(TenantQuota.tenant == tenant))
