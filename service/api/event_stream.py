"""Server-Sent Events of a job or sweep: stored events first, then new ones as they are written, until it has ended."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.database.engine import TRANSIENT
from service.errors import NotFound
from service.jobs.events.wakeups import Wakeups, happens

T = TypeVar("T")

POLL_SECONDS: Final = 5.0
"""Polling interval, in case a notification was lost; also the interval of keep-alive comments."""


class Batch(Protocol):
    """Batch of events, oldest first."""

    @property
    def events(self) -> Sequence[Any]:
        """The events."""

    @property
    def is_last(self) -> bool:
        """Whether there are no later events yet."""

    @property
    def end(self) -> str | None:
        """Final state of the job or sweep, if these are its last events."""


@dataclass(frozen=True)
class Source:
    """Events of one job or sweep."""

    read: Callable[[int], Batch]
    """Reads the events above a number; raises NotFound."""
    frame: Callable[[Any], BaseModel]
    """Returns the view of an event."""


async def follow(
    source: Source, wakeups: Wakeups, woken: asyncio.Event, after: int, *, is_allowed: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield every event above number `after`, once and in order, then `event: end` with the final state.

    The stream also ends, without `event: end`, when the process stops: clients reconnect with `Last-Event-ID` to another process;
    when the job is deleted; and when `is_allowed`, called every few seconds, returns false because the key or session has ended.
    """
    checked = time.monotonic()
    while not wakeups.closing:
        if time.monotonic() - checked >= POLL_SECONDS:
            checked = time.monotonic()
            if await _unless_away(is_allowed) is False:
                return
        woken.clear()  # before reading: a concurrent write sets it again
        try:
            batch = await _unless_away(partial(source.read, after))
        except NotFound:  # deleted, perhaps just after its end
            return
        for event in batch.events if batch else ():
            yield format_sse_event(id=str(event.seq), event=event.type, data_str=source.frame(event).model_dump_json())
            after = event.seq
        if batch and batch.end is not None:
            yield format_sse_event(event="end", data_str=json.dumps({"state": batch.end}))
            return
        if (batch is None or batch.is_last) and not await happens(woken, POLL_SECONDS):
            yield KEEPALIVE_COMMENT


async def _unless_away(read: Callable[[], T]) -> T | None:
    """Return what `read` reads; None while the database is unavailable, so that the stream stays open."""
    try:
        return await run_in_threadpool(read)
    except TRANSIENT:
        return None
