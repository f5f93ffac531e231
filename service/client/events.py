"""Live stream of a job's events (Server-Sent Events); reconnects after lost connections and restarts of the service."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

from service.client.asking import open_body
from service.client.call import Call, nothing, path_to
from service.client.errors import ApiError, Unreachable
from service.client.flow import Give, Pause, Stream, Take, Terms
from service.client.patience import RetryBudget, Trouble

_END: Final = "end"
_SECONDS_AWAY: Final = 60.0
"""Seconds that the service may be unavailable before a stream fails."""


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


def follow(terms: Terms, job_id: str, after: int = 0) -> Stream[Event]:
    """Yield every event above number `after`, live, each once and in order, until the job has ended.

    Reconnects after a lost connection.
    """
    patience = RetryBudget(_SECONDS_AWAY)
    while True:
        try:
            body = yield from open_body(_stream_of(job_id, after))
            messages = Messages()
            while (piece := (yield Take(body))) is not None:
                for message in messages.feed(piece):
                    patience.restart()
                    if message.event == _END:
                        return
                    event = event_of(json.loads(message.data))
                    if event.seq > after:
                        after = event.seq
                        yield Give(event)
            trouble: Trouble = Unreachable(terms.url, "the stream ended early")
        except httpx.TransportError as error:
            trouble = Unreachable(terms.url, error)
        except ApiError as error:
            trouble = error
        yield Pause(patience.pause_after(trouble))


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


def _stream_of(job_id: str, after: int) -> Call[Any]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
    return Call("GET", path_to("jobs", job_id, "events"), nothing, headers=headers)
