"""Per-tenant limits that override the settings."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class TenantQuota(Base):
    """Limits of one tenant, set by the operator; None: the setting's value, or where there is no setting, the default."""

    __tablename__ = "tenant_quotas"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    max_queued_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    """Jobs that workers hold at once; None: no limit."""
    share: Mapped[int | None]
    """Weight of the tenant's turns at the workers; None: 1."""
    max_priority: Mapped[int | None]
    """Highest `priority` of a new job; None: that of the API."""
    max_datasets_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_triggers: Mapped[int | None]
    max_webhooks: Mapped[int | None]
    reads_per_minute: Mapped[int | None]
    """Rate limit of all API keys together."""
    writes_per_minute: Mapped[int | None]
    """Rate limit of all API keys together."""
