"""Routes of job events: JSON pages or a live stream."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Interval
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from typing_extensions import TypeVar

from service.api.event_stream import Show, follow
from service.contract.messages import EVENTS_CHANNEL, PROGRESS_CHANNEL
from service.database.tables.events import JobEvent
from service.database.tables.sweeps import SweepEvent
from service.errors import NotFound, Unavailable
from service.jobs.events.operations import Batch, events_after
from service.jobs.events.schemas import EventPage, EventView
from service.jobs.events.wakeups import Subscription, Wakeups
from service.tenants.shares import ShareExceeded
from service.web.authentication import Caller, JobReader, is_still_valid
from service.web.dependencies import TheDatabase, TheWakeups
from service.web.problem_responses import problem_responses
from service.web.query_parameters import IN_DIGITS, PAGE_BEFORE, TRUE_OR_FALSE, LongPageLimit

router = APIRouter(prefix="/v1/jobs", tags=["events"])

_EVENT_STREAM: Final = "text/event-stream"
_STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGEST: Final = 2**31 - 1
_EXAMPLE: Final = 'event: stage_started\ndata: {"seq": 2, …}\nid: 2\n\nevent: end\ndata: {"state": "succeeded"}\n\n'
EVENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {_EVENT_STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}}},
    **problem_responses(NotFound, Unavailable, ShareExceeded),
}

Page = TypeVar("Page", bound=BaseModel, default=EventPage)

Accept = Annotated[str, Header(description="`text/event-stream` requests the live stream")]
EventNumber = Annotated[int, Interval(ge=0, le=_LARGEST), IN_DIGITS]
LastEventId = Annotated[EventNumber | None, Header(description="resumes a stream after this `id`, of the last message received")]
WithProgress = Annotated[
    bool,
    TRUE_OR_FALSE,
    Query(description="whether the live stream also has messages `progress`, which are no events; ignored without a stream"),
]


async def _job_subscription(
    job_id: UUID, caller: JobReader, wakeups: TheWakeups, accept: Accept = "*/*", progress: WithProgress = False
) -> AsyncIterator[Subscription | None]:
    """Yield a subscription for the lifetime of a stream response; None for a JSON page."""
    channels = (EVENTS_CHANNEL, PROGRESS_CHANNEL) if progress else (EVENTS_CHANNEL,)
    with subscription(job_id, caller, wakeups, accept, *channels) as opened:
        yield opened


@contextmanager
def subscription(subject: UUID, caller: Caller, wakeups: Wakeups, accept: str, *channels: str) -> Iterator[Subscription | None]:
    """Yield a subscription to a job or sweep if the caller wants a stream: to its events, or to these channels."""
    if not _wants_stream(accept):
        yield None
        return
    with wakeups.subscribe(subject, *channels, tenant=caller.tenant, key_id=caller.key_id) as opened:
        yield opened


def _wants_stream(accept: str) -> bool:
    return any(offer.partition(";")[0].strip().lower() == _EVENT_STREAM for offer in accept.split(","))


def _show(event: JobEvent | SweepEvent) -> tuple[str, EventView]:
    return event.type, EventView.of(event)


@dataclass(frozen=True)
class Reading:
    """Query parameters and headers of a request for numbered items: events, or log lines."""

    request: Request
    database: TheDatabase
    wakeups: TheWakeups
    after: Annotated[EventNumber, Query(description="only those with a higher `seq`")] = 0
    cursor: Annotated[EventNumber | None, Query(description=PAGE_BEFORE)] = None
    limit: LongPageLimit = 200
    last_event_id: LastEventId = None

    @property
    def continues(self) -> bool:
        """Whether the request continues an earlier one."""
        return self.last_event_id is not None or self.cursor is not None

    def answer(
        self,
        read: Callable[..., Batch[Any]],
        opened: Subscription | None,
        *,
        show: Show = _show,
        page: Callable[..., Page] = EventPage,  # type: ignore[assignment]
    ) -> Page | Response:
        """Return one page of the items that `read` returns above a number, or with a subscription the stream of them."""
        start = next((number for number in (self.last_event_id, self.cursor) if number is not None), self.after)
        batch = read(start, limit=self.limit)
        if opened is not None:
            allowed = partial(is_still_valid, self.request, self.database)
            stream = follow(read, self.wakeups, opened, start, show=show, is_allowed=allowed)
            return EventSourceResponse(stream, headers=_STREAM_HEADERS)
        items, last = [show(item)[1] for item in batch.items], batch.position
        return page(items=items, next_cursor=None if batch.is_last else str(last), last_seq=last)


AsReading = Annotated[Reading, Depends()]


@router.get("/{job_id}/events", response_model=EventPage, responses=EVENT_RESPONSES)
def read_events(
    job_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    opened: Annotated[Subscription | None, Depends(_job_subscription)],
    reading: AsReading,
) -> EventPage | Response:
    """List the job's events, oldest first.

    With `Accept: text/event-stream`, stream them: a message's `id` is the event's `seq`, its `event` the type, its `data` the
    same object as in JSON. `event: end` follows the last event of an ended job; if the stream closes earlier, reconnect with
    `Last-Event-ID`.

    With `progress=true`, messages `event: progress` report what has been done within the stage, at most once a second and the
    latest only: their `data` is the job's `progress` with the name of its `stage`. They have no `id` and are not stored.
    """
    return reading.answer(partial(events_after, database, job_id, tenant=caller.tenant), opened)
