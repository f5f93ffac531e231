"""A call of the HTTP API as a value: the request, whether it may be repeated, and how the response is read.

The functions that create calls do no I/O: a driver, blocking or asyncio, sends a call, and the logic around it (retries,
resumption, waiting) is written once, in flows.
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
    """Condition under which a call may be repeated after its response was lost or was an error."""

    ALWAYS = auto()
    """Always: the call is idempotent, by its nature or by an idempotency key."""
    UNDONE = auto()
    """Only if the service has answered that it did not start."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how to read its response."""

    method: str
    path: str
    answer: Callable[[httpx.Response], T]
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON, unless it is None."""
    file: Path | None = None
    """Streamed as the body instead."""
    repeat: Repeat = Repeat.ALWAYS
    seconds: float | None = None
    """Timeout of the response; None: the default."""

    def at(self, cursor: str) -> "Call[T]":
        """Return the same call for another page."""
        return replace(self, query={**self.query, "cursor": cursor})

    def request(self) -> dict[str, Any]:
        """Return the arguments of `build_request` of httpx's clients, except a file."""
        length = {} if self.file is None else {"Content-Length": str(self.file.stat().st_size)}
        made: dict[str, Any] = {"method": self.method, "url": self.path, "headers": {**self.headers, **length}}
        given = {"params": dict(self.query), "json": self.body, "timeout": self.seconds}
        return made | {name: value for name, value in given.items() if value not in (None, {})}


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, and the cursor of the next."""

    items: list[T]
    next_cursor: str | None


def path_to(*steps: str) -> str:
    """Return a path below /v1. Steps are quoted, so that untrusted ones cannot leave it."""
    return "/v1/" + "/".join(quote(step, safe="") for step in steps)


def said(**values: T | None) -> dict[str, T]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def nothing(_response: httpx.Response) -> None:
    """Return None, for a response without content."""
    return None  # noqa: RET501


def as_one(read: Callable[[Any], T]) -> Callable[[httpx.Response], T]:
    """Return a reader of a JSON response with one object."""
    return lambda response: read(response.json())


def as_page(read: Callable[[Any], T]) -> Callable[[httpx.Response], Page[T]]:
    """Return a reader of one page of a list."""
    return as_one(lambda found: Page([read(item) for item in found["items"]], found.get("next_cursor")))


def as_list(read: Callable[[Any], T]) -> Callable[[httpx.Response], list[T]]:
    """Return a reader of a list that has one page only."""
    return as_one(lambda found: [read(item) for item in found["items"]])
