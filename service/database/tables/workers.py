"""Workers: which processes take jobs, on what, and when they last gave a sign of life."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class Worker(Base):
    """One `python -m worker`. What it works on is the open attempt that names it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Host and process."""
    host: Mapped[str]
    device: Mapped[str]
    """A device class."""
    device_name: Mapped[str]
    device_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """None on a CPU, whose memory is the host's."""
    host_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    used_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    """Resident memory of all its processes."""
    free_disk_bytes: Mapped[int] = mapped_column(BigInteger)
    """Where scratch and caches lie."""
    versions: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """By the database's clock."""
    stopped_at: Mapped[datetime | None]
