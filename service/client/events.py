"""Events of a job."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event of a job. `seq` counts from 1."""

    seq: int
    type: str
    data: dict[str, Any]
    created_at: datetime | None = None


def event_of(document: dict[str, Any]) -> Event:
    """Return the event of a JSON document."""
    return Event(document["seq"], document["type"], document["data"], datetime.fromisoformat(document["created_at"]))
