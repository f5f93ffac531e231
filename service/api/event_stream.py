"""Server-Sent Events of a job or sweep: stored items first, then new ones as they are written, until it has ended."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from service.database.engine import TRANSIENT
from service.errors import NotFound
from service.jobs.events.operations import Batch
from service.jobs.events.wakeups import Wakeups, happens

T = TypeVar("T")
Show = Callable[[Any], tuple[str, BaseModel]]
"""Function that returns an item's name in the stream and its view."""

POLL_SECONDS: Final = 5.0
"""Polling interval, in case a notification was lost; also the interval of keep-alive comments."""


async def follow(
    read: Callable[[int], Batch[Any]],
    wakeups: Wakeups,
    woken: asyncio.Event,
    after: int,
    *,
    show: Show,
    is_allowed: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Yield every item above number `after`, once and in order, then `event: end` with the final state.

    `read` returns the items above a number, and raises NotFound.
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
            batch = await _unless_away(partial(read, after))
        except NotFound:  # deleted, perhaps just after its end
            return
        for item in batch.items if batch else ():
            name, view = show(item)
            yield format_sse_event(id=str(item.seq), event=name, data_str=view.model_dump_json())
            after = item.seq
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
