"""Events of jobs and sweeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from service.client.errors import UnexpectedResponse


@dataclass(frozen=True)
class Event:
    """One event of a job or sweep. `seq` counts from 1."""

    seq: int
    type: str
    data: dict[str, Any]
    created_at: datetime | None = None


def event_of(document: dict[str, Any]) -> Event:
    """Return the event of a JSON document."""
    return Event(int(document["seq"]), document["type"], document["data"], datetime.fromisoformat(document["created_at"]))


def check_stream(response: httpx.Response) -> None:
    """Raise UnexpectedResponse unless the response is a stream of events."""
    if response.headers.get("Content-Type", "").partition(";")[0] != "text/event-stream":
        raise UnexpectedResponse(response)
