"""Events of a job, and the parser of their stream (Server-Sent Events)."""

from collections.abc import Iterator
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


@dataclass(frozen=True)
class Message:
    """One Server-Sent Event, as it was sent."""

    event: str
    data: str
    id: str | None


def event_of(document: dict[str, Any]) -> Event:
    """Return the event of a JSON document."""
    return Event(document["seq"], document["type"], document["data"], datetime.fromisoformat(document["created_at"]))


class Messages:
    """Parser of a Server-Sent Events stream that arrives in chunks; comments (keep-alives) are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._clear()
        self._id: str | None = None

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yield the messages that the chunk completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.strip(b"\r"):
                self._take(line.decode().rstrip("\r"))
            else:
                if self._data:
                    yield Message(self._event, "\n".join(self._data), self._id)
                self._clear()

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value

    def _clear(self) -> None:
        self._event, self._data = "message", list[str]()
