"""Messages of an event stream."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Message:
    event: str
    id: str | None
    data: Any


def messages(response: httpx.Response) -> Iterator[Message]:
    """The messages of a stream, read by the rules of the HTML standard, comments left out."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and "data" in fields:
            yield Message(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))
        if not line:
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
