"""SQL of the doctor's checks of the database server."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Server:
    """Version and clock of the database server."""

    version: str
    now: datetime


def server(session: Session) -> Server:
    """Return version and clock of the database server."""
    return Server(*session.execute(select(func.current_setting("server_version"), func.clock_timestamp())).one())


def can_write(session: Session) -> bool:
    """Return whether the server accepts writes: a standby or a read-only server does not."""
    return str(session.execute(text("SHOW transaction_read_only")).scalar_one()) == "off"
