"""A call of the HTTP API as a value: what is asked, how often it may be asked, and what the answer means.

The functions that make calls touch nothing: a call is sent by a driver, which is one of two, and what is decided around it
(trying again, going on, waiting) is written once, in flows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

T = TypeVar("T")
Query = Mapping[str, str | int | Sequence[str]]


class Repeat(Enum):
    """When a call whose answer was lost, or was no success, may be sent again."""

    ALWAYS = auto()
    """It is done once however often it arrives: by its nature, or under an idempotency key."""
    UNDONE = auto()
    """Only if the service has said that it did not begin."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how to read the answer to it."""

    method: str
    path: str
    answer: Callable[[httpx.Response], T]
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON, unless it is None."""
    file: Path | None = None
    """Sent instead, bit by bit."""
    repeat: Repeat = Repeat.ALWAYS
    seconds: float | None = None
    """How long the answer may take; None: as long as usual."""

    def at(self, cursor: str) -> "Call[T]":
        """The same call for another page."""
        return replace(self, query={**self.query, "cursor": cursor})

    def request(self) -> dict[str, Any]:
        """What `build_request` of either client of httpx takes, but for a file."""
        length = {} if self.file is None else {"Content-Length": str(self.file.stat().st_size)}
        made: dict[str, Any] = {"method": self.method, "url": self.path, "headers": {**self.headers, **length}}
        given = {"params": dict(self.query), "json": self.body, "timeout": self.seconds}
        return made | {name: value for name, value in given.items() if value not in (None, {})}


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, and where the next one begins."""

    items: list[T]
    next_cursor: str | None


def path_to(*steps: str) -> str:
    """An address below /v1. What comes from outside cannot lead elsewhere."""
    return "/v1/" + "/".join(quote(step, safe="") for step in steps)


def said(**values: T | None) -> dict[str, T]:
    """Those that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def nothing(_response: httpx.Response) -> None:
    return None


def as_one(read: Callable[[Any], T]) -> Callable[[httpx.Response], T]:
    """Of an answer that is one thing, in JSON."""
    return lambda response: read(response.json())


def as_page(read: Callable[[Any], T]) -> Callable[[httpx.Response], Page[T]]:
    """Of an answer that is a part of a list."""
    return as_one(lambda found: Page([read(item) for item in found["items"]], found.get("next_cursor")))


def as_list(read: Callable[[Any], T]) -> Callable[[httpx.Response], list[T]]:
    """Of a list that comes in one page."""
    return as_one(lambda found: [read(item) for item in found["items"]])
