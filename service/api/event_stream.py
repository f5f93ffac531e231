"""Server-Sent Events of a job: stored events first, then new ones as they are written, until the job has ended."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

from service.database.engine import TRANSIENT, Database
from service.database.tables.events import JobEvent
from service.jobs.events.operations import events_after
from service.jobs.events.schemas import EventView
from service.jobs.events.wakeups import Wakeups, happens
from service.jobs.operations import JobNotFound

T = TypeVar("T")

POLL_SECONDS: Final = 5.0
"""Polling interval, in case a notification was lost; also the interval of keep-alive comments."""


async def follow(
    database: Database,
    wakeups: Wakeups,
    woken: asyncio.Event,
    job_id: UUID,
    after: int,
    *,
    tenant: str,
    is_allowed: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Yield every event above number `after`, once and in order, then `event: end` if the job has ended.

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
            batch = await _unless_away(partial(events_after, database, job_id, after, tenant=tenant))
        except JobNotFound:  # deleted, perhaps just after its end
            return
        for event in batch.events if batch else ():
            yield _frame(event)
            after = event.seq
        if batch and batch.ends_the_job:
            yield format_sse_event(event="end", data_str=json.dumps({"state": batch.state}))
            return
        if (batch is None or batch.is_last) and not await happens(woken, POLL_SECONDS):
            yield KEEPALIVE_COMMENT


async def _unless_away(read: Callable[[], T]) -> T | None:
    """Return what `read` reads; None while the database is unavailable, so that the stream stays open."""
    try:
        return await run_in_threadpool(read)
    except TRANSIENT:
        return None


def _frame(event: JobEvent) -> bytes:
    view = EventView.of(event)
    return format_sse_event(id=str(view.seq), event=view.type, data_str=view.model_dump_json())
