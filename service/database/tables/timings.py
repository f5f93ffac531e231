"""Durations of finished runs, from which later runs are estimated."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class RunSpeed(Base):
    """Timing of one run that succeeded at its first attempt; kept beyond its job and worker until newer runs replace it."""

    __tablename__ = "run_speeds"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    device: Mapped[str]
    """Device class."""
    device_name: Mapped[str]
    recipe: Mapped[str]
    """Kind of recipe, from `service.contract.work.kind_of`."""
    parameters: Mapped[int] = mapped_column(BigInteger)
    block_parameters: Mapped[int] = mapped_column(BigInteger)
    calibration_tokens: Mapped[int] = mapped_column(BigInteger)
    evaluated_tokens: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    blocks: Mapped[int] = mapped_column(server_default="0")
    """0 if unknown: an earlier version stored the run."""
    token_seconds: Mapped[float]
    """Pruning time proportional to parameters × tokens: forward passes and statistics."""
    weight_seconds: Mapped[float]
    """Pruning time proportional to parameters: masks, updates, reading and writing."""
    evaluating_seconds: Mapped[float]
    other_seconds: Mapped[float]
    """Time of resolving, loading and publishing, proportional to bytes."""
    start_seconds: Mapped[float | None]
    """Time of the attempt outside its stages; None if an earlier version stored the run."""
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_run_speeds_kind", "device_name", "recipe", "finished_at"),)
