"""Route of a job's log: JSON pages or a live stream."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Interval
from fastapi import APIRouter, Depends, Query, Response

from service.api.events import EVENT_RESPONSES, Accept, AsReading, subscription
from service.contract.logs import LogLevel
from service.contract.messages import EVENTS_CHANNEL, LOGS_CHANNEL
from service.database.tables.logs import JobLogLine
from service.jobs.events.wakeups import Subscription
from service.jobs.logs import operations
from service.jobs.logs.repository import LineFilter
from service.jobs.logs.schemas import LogLineView, LogPage
from service.web.authentication import JobReader
from service.web.dependencies import TheDatabase, TheWakeups
from service.web.query_parameters import IN_DIGITS

router = APIRouter(prefix="/v1/jobs", tags=["logs"])

_EXAMPLE: Final = 'event: line\ndata: {"seq": 2, …}\nid: 2\n\nevent: end\ndata: {"state": "succeeded"}\n\n'
_STREAM: Final = {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {**EVENT_RESPONSES, 200: {"content": _STREAM}}

AttemptNumber = Annotated[int, Interval(ge=1, lt=2**31), IN_DIGITS]
TailLength = Annotated[int, Interval(ge=1, le=1000), IN_DIGITS]


async def _subscription(
    job_id: UUID, caller: JobReader, wakeups: TheWakeups, accept: Accept = "*/*"
) -> AsyncIterator[Subscription | None]:
    """Yield a subscription for the lifetime of a stream response, also to events, because the last one ends the stream."""
    with subscription(job_id, caller, wakeups, accept, LOGS_CHANNEL, EVENTS_CHANNEL) as opened:
        yield opened


def _show(line: JobLogLine) -> tuple[str, LogLineView]:
    return "line", LogLineView.of(line)


@router.get("/{job_id}/logs", response_model=LogPage, responses=_RESPONSES)
def read_logs(
    job_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    opened: Annotated[Subscription | None, Depends(_subscription)],
    reading: AsReading,
    attempt: Annotated[AttemptNumber | None, Query(description="only lines of this attempt")] = None,
    level: Annotated[LogLevel | None, Query(description="minimum level")] = None,
    tail: Annotated[
        TailLength | None, Query(description="begin with the last lines, this number of them; ignored with a cursor")
    ] = None,
) -> LogPage | Response:
    """List the log lines of the job's attempts, oldest first: what its workers and their libraries have logged.

    With `Accept: text/event-stream`, stream them: a message's `id` is the line's `seq`, its `event` is `line`, its `data` the
    same object as in JSON. `event: end` follows the last line of an ended job; if the stream closes earlier, reconnect with
    `Last-Event-ID`.

    Lines are stored within a second. Their size per attempt and job is bounded; a line `log truncated` stands for what is not
    kept.
    """
    wanted = LineFilter(attempt, level)
    if tail is not None and not reading.continues:
        start = operations.start_of_tail(database, job_id, tail, tenant=caller.tenant, wanted=wanted)
        reading = replace(reading, after=max(start, reading.after))
    read = partial(operations.lines_after, database, job_id, tenant=caller.tenant, wanted=wanted)
    return reading.answer(read, opened, show=_show, page=LogPage)
