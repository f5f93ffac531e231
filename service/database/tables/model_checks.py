"""Checks of models by workers."""

from datetime import datetime
from typing import Any

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
