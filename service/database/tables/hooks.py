"""Columns that webhooks and triggers share. Secrets are not stored: they are derived (`service.hooks.signing`)."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class Hook(Base):
    """Webhook or trigger: an object of a tenant with a rotating secret and a log."""

    __abstract__ = True

    noun: ClassVar[str]
    """Name in messages and in the derivation of secrets."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    tenant: Mapped[str]
    description: Mapped[str]
    secret_number: Mapped[int] = mapped_column(server_default=text("1"))
    """Version of the secret, from which it is derived; incremented by every rotation."""
    old_secret_until: Mapped[datetime | None]
    """Time until which the previous secret is valid as well."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
