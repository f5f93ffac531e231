"""Outbox of the jobs to be logged to MLflow."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class MlflowExport(Base):
    """Succeeded job to be logged to MLflow. The row is deleted once that is done or given up; the outcome is the job's."""

    __tablename__ = "mlflow_exports"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time of the next attempt; during an attempt, the expiry of its lease."""

    __table_args__ = (Index("ix_mlflow_exports_due", "next_attempt_at"),)
