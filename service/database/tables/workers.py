"""Worker processes: device, memory, versions and last heartbeat."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base, in_seconds


class Worker(Base):
    """One `python -m worker` process. Its current job is that of the open attempt that names it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Host and process id."""
    host: Mapped[str]
    device: Mapped[str]
    """Device class."""
    device_name: Mapped[str]
    device_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Memory of the GPU; None on a CPU, which uses the host's."""
    host_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    used_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    """Resident memory of all processes of the worker."""
    free_disk_bytes: Mapped[int] = mapped_column(BigInteger)
    """Free space of the disk with scratch and caches."""
    versions: Mapped[dict[str, Any]]
    """Versions of packages, driver and CUDA; also `compute_capability`, and `device_problem` if GPUs of the host are not used."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Time of the last heartbeat, by the database's clock."""
    stopped_at: Mapped[datetime | None]

    @classmethod
    def is_alive(cls, silent_seconds: float) -> ColumnElement[bool]:
        """Return the SQL expression that it has not stopped and sent a heartbeat within `silent_seconds`."""
        return cls.stopped_at.is_(None) & (cls.seen_at > in_seconds(-silent_seconds))
