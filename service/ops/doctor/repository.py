"""SQL of what the doctor wants to know of the database server."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Server:
    """The database server: its version, and what time it thinks it is."""

    version: str
    now: datetime


def server(session: Session) -> Server:
    return Server(*session.execute(select(func.current_setting("server_version"), func.clock_timestamp())).one())


def can_write(session: Session) -> bool:
    """A standby, or a server that was set to read-only, accepts no job."""
    return str(session.execute(text("SHOW transaction_read_only")).scalar_one()) == "off"
