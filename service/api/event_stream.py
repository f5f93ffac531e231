"""Server-Sent Events of a job or sweep: stored items first, then new ones as they are written, until it has ended.

An idle stream costs one check of the caller's permission and one read a minute; everything else comes by notification.
"""

import json
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from service.database.engine import TRANSIENT
from service.errors import NotFound
from service.jobs.events.operations import Batch
from service.jobs.events.wakeups import Subscription, Wakeups, happens
from service.jobs.schemas import StageProgress

T = TypeVar("T")
Show = Callable[[Any], tuple[str, BaseModel]]
"""Function that returns an item's name in the stream and its view."""

POLL_SECONDS: Final = 60.0
"""Interval of polling, in case a notification was lost, and of checks whether key or session have expired."""
KEEPALIVE_SECONDS: Final = 15.0
"""Longest silence of a stream, then a comment is sent."""
PROGRESS_SECONDS: Final = 1.0
"""Minimum interval between two messages with progress."""
_RETRY_SECONDS: Final = 5.0
"""Interval of attempts to read while the database is unavailable."""


async def follow(
    read: Callable[[int], Batch[Any]],
    wakeups: Wakeups,
    subscription: Subscription,
    after: int,
    *,
    show: Show,
    is_allowed: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Yield every item above number `after`, once and in order, then `event: end` with the final state.

    `read` returns the items above a number, and raises NotFound.
    The stream also ends, without `event: end`, when the process stops: clients reconnect with `Last-Event-ID` to another process;
    when the job is deleted; and when `is_allowed` returns false, because the key or session has ended.
    """
    idle = _Idle(subscription)
    poll_at = time.monotonic() + POLL_SECONDS * random.random()  # noqa: S311  # spreads the polls of streams opened together
    while not wakeups.closing:
        allowed: bool | None = True
        if subscription.is_doubtful or time.monotonic() >= poll_at:
            poll_at = time.monotonic() + POLL_SECONDS
            subscription.is_doubtful = False  # before reading, as below
            allowed = await _unless_away(is_allowed)
            if allowed is False:
                return
        subscription.has_news = False  # before reading: a concurrent write sets it again
        try:
            batch = await _unless_away(partial(read, after))
        except NotFound:  # deleted, perhaps just after its end
            return
        for item in batch.items if batch else ():
            name, view = show(item)
            yield idle.sent(format_sse_event(id=str(item.seq), event=name, data_str=view.model_dump_json()))
        if batch:
            after = batch.position
        if batch and batch.end is not None:
            yield format_sse_event(event="end", data_str=json.dumps({"state": batch.end}))
            return
        if batch is None or allowed is None:
            poll_at = min(poll_at, time.monotonic() + _RETRY_SECONDS)
        if batch is None or batch.is_last:
            async for message in idle.messages(until=poll_at):
                yield message


class _Idle:
    """Messages of a stream that has nothing to read."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._last_sent = time.monotonic()
        self._last_progress = -math.inf

    def sent(self, message: bytes) -> bytes:
        """Return the message, which ends the silence."""
        self._last_sent = time.monotonic()
        return message

    async def messages(self, until: float) -> AsyncIterator[bytes]:
        """Yield progress and comments until there may be something to read, at most up to the time `until`."""
        opened = self._subscription
        while not (opened.has_news or opened.is_doubtful) and (now := time.monotonic()) < until:
            opened.woken.clear()
            comment_at, progress_at = self._last_sent + KEEPALIVE_SECONDS, self._last_progress + PROGRESS_SECONDS
            if opened.progress is not None and now >= progress_at:
                if (message := self._take_progress()) is not None:
                    yield self.sent(message)
            elif now >= comment_at:
                yield self.sent(KEEPALIVE_COMMENT)
            else:
                due = min(until, comment_at, progress_at if opened.progress is not None else math.inf)
                await happens(opened.woken, due - now)

    def _take_progress(self) -> bytes | None:
        """Return the message of the latest progress; None if it is malformed."""
        given, self._subscription.progress = self._subscription.progress or "", None
        self._last_progress = time.monotonic()
        try:
            return format_sse_event(event="progress", data_str=StageProgress.model_validate_json(given).model_dump_json())
        except ValidationError:
            return None


async def _unless_away(read: Callable[[], T]) -> T | None:
    """Return what `read` reads; None while the database is unavailable, so that the stream stays open."""
    try:
        return await run_in_threadpool(read)
    except TRANSIENT:
        return None
