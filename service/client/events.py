"""The live stream of a job's events (Server-Sent Events), which survives lost connections and restarts of the service."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

from service.client.errors import ApiError, Unreachable
from service.client.transport import Patience, Transport

_END: Final = "end"
_SECONDS_AWAY: Final = 60.0
"""How long the service may be away before a stream gives up."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job. `seq` counts from 1."""

    seq: int
    type: str
    data: dict[str, Any]
    created_at: datetime | None = None


@dataclass(frozen=True)
class Message:
    """One message of a stream, as it was sent."""

    event: str
    data: str
    id: str | None


def follow(transport: Transport, job_id: str, after: int = 0) -> Iterator[Event]:
    """Every event with a number above `after`, each once, in order, until the job has ended."""
    patience = Patience(_SECONDS_AWAY)
    while True:
        try:
            for message in _messages(transport, job_id, after):
                patience.restart()
                if message.event == _END:
                    return
                event = _event(message)
                if event.seq > after:
                    after = event.seq
                    yield event
            patience(Unreachable(transport.url, "the stream ended early"))
        except httpx.TransportError as error:
            patience(Unreachable(transport.url, error))
        except ApiError as error:
            patience(error)


def parse(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in the lines of a stream; comments keep the connection alive and are dropped."""
    event, data, identity = "message", list[str](), None
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Message(event, "\n".join(data), identity)
            event, data, identity = "message", [], None
        elif field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            identity = value


def _messages(transport: Transport, job_id: str, after: int) -> Iterator[Message]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
    with transport.stream(f"/v1/jobs/{job_id}/events", headers) as response:
        yield from parse(response.iter_lines())


def _event(message: Message) -> Event:
    document = json.loads(message.data)
    return Event(
        int(message.id or document["seq"]),
        message.event,
        document["data"],
        datetime.fromisoformat(document["created_at"]),
    )
