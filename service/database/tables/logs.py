"""Log lines of jobs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class JobLogLine(Base):
    """One log line of an attempt. `seq` counts from 1 over all attempts of the job, without gaps."""

    __tablename__ = "job_logs"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    level: Mapped[int] = mapped_column(SmallInteger)
    """Number of the `logging` module, such as 30 for a warning."""
    stage: Mapped[str | None]
    text: Mapped[str]
    bytes: Mapped[int]
    """Size that counts for the bounds; the workers' role may read it, but not the text."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_job_logs_created_at", "created_at"),)
