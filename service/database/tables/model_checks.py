"""Checks of models by workers."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class ModelCheckRow(Base):
    """Question of the service whether and how a model can be pruned, and the answer of a worker."""

    __tablename__ = "model_checks"

    key: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of what the answer depends on."""
    asked_at: Mapped[datetime]
    files: Mapped[bytes | None]
    """Sparse copies of the model's files; NULL when answered."""
    taken_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any] | None]

    __table_args__ = (
        Index("ix_model_checks_asked_at", "asked_at"),
        Index("ix_model_checks_open", "asked_at", postgresql_where=text("answer IS NULL")),
    )
