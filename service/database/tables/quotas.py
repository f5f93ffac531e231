"""Per-tenant limits that override the settings."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class TenantQuota(Base):
    """Limits and retention of one tenant, set by the operator; None: the setting's value, or without a setting the default."""

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
    keep_jobs_seconds: Mapped[int | None]
    """Retention of ended jobs. This and the next: 0: unlimited."""
    keep_artifacts_seconds: Mapped[int | None]
    keep_layers_seconds: Mapped[int | None]
    keep_audit_seconds: Mapped[int | None]
