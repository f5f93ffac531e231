"""Per-tenant limits that override the settings."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class TenantQuota(Base):
    """Limits of one tenant, set by the operator; None: the setting's value."""

    __tablename__ = "tenant_quotas"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    max_queued_jobs: Mapped[int | None]
    max_datasets_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_triggers: Mapped[int | None]
    max_webhooks: Mapped[int | None]
    reads_per_minute: Mapped[int | None]
    """Rate limit of all API keys together."""
    writes_per_minute: Mapped[int | None]
    """Rate limit of all API keys together."""
