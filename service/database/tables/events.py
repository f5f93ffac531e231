"""Job events in sequence."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class JobEvent(Base):
    """One event of a job. `seq` counts from 1; a database trigger notifies listeners on commit.

    Numbers have no gaps until retention removes the events of blocks (`Job.layers_removed_at`).
    """

    __tablename__ = "job_events"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
