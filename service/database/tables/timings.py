"""What finished runs took, by which the time of the next ones is told."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class RunSpeed(Base):
    """One run that succeeded at once. It outlives its job and its worker, and goes when newer ones have taken its place."""

    __tablename__ = "run_speeds"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    device: Mapped[str]
    """A device class."""
    device_name: Mapped[str]
    recipe: Mapped[str]
    """Its kind, `service.contract.work.kind_of`."""
    parameters: Mapped[int] = mapped_column(BigInteger)
    block_parameters: Mapped[int] = mapped_column(BigInteger)
    calibration_tokens: Mapped[int] = mapped_column(BigInteger)
    evaluated_tokens: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    token_seconds: Mapped[float]
    """Of pruning: what grows with parameters and tokens, the forward passes and the statistics."""
    weight_seconds: Mapped[float]
    """Of pruning: what grows with parameters alone, the masks, the updates, reading and writing."""
    evaluating_seconds: Mapped[float]
    other_seconds: Mapped[float]
    """Resolving, loading and publishing, which grow with bytes."""
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_run_speeds_kind", "device_name", "recipe", "finished_at"),)
