"""Routes of sweeps."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Response
from starlette.concurrency import run_in_threadpool

from service.api.events import EVENT_RESPONSES, Accept, AsReading, subscription
from service.contract.sweeps import SweepSpec, SweepState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.errors import Conflict, NotFound
from service.idempotency.operations import InFlight
from service.idempotency.stored_response import REPLAYED, Answer
from service.jobs.events.schemas import EventPage
from service.jobs.events.wakeups import Subscription
from service.jobs.operations import QuotaExceeded
from service.sweeps import lifecycle, operations, planning
from service.sweeps.schemas import (
    SWEEP_EXAMPLES,
    SweepDetail,
    SweepPage,
    SweepPlanView,
    SweepView,
)
from service.sweeps.table import csv_of
from service.web.authentication import JobReader, JobWriter
from service.web.dependencies import TheDatabase, TheModels, TheSettings, TheWakeups
from service.web.headers import LOCATION
from service.web.idempotency_key import OptionalKeyedRequest
from service.web.problem_responses import problem_responses
from service.web.query_parameters import TRUE_OR_FALSE, PageCursor, PageLimit
from service.web.request_body import BODY_PROBLEMS

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

Front = Annotated[
    list[str],
    Query(
        max_length=8,
        description="measures of the Pareto front, two or three: names such as `sparsity`, `perplexity:wiki-sample:test` "
        "or `perplexity` if only one matches; by default sparsity and the first measure of quality",
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=SweepDetail,
    responses={
        200: {"model": SweepPlanView, "description": "With `validate_only`: the plan; nothing is stored"},
        201: {"headers": LOCATION | REPLAYED},
        **problem_responses(*BODY_PROBLEMS, QuotaExceeded, InFlight),
    },
)
async def create_sweep(
    spec: Annotated[SweepSpec, Body(openapi_examples=SWEEP_EXAMPLES)],
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    keyed: OptionalKeyedRequest,
    validate_only: Annotated[
        bool, TRUE_OR_FALSE, Query(description="validate all points and return the plan without creating anything")
    ] = False,
) -> Response:
    """Create a sweep: a job for each combination of the axes, or the first job of a search, all or none."""
    if validate_only:
        planned = await run_in_threadpool(planning.plan, database, settings, models, spec, tenant=caller.tenant)
        return Response(planned.model_dump_json(), media_type="application/json")
    create = partial(operations.create, database, settings, models, spec)
    answer = await run_in_threadpool(create, tenant=caller.tenant, keyed=keyed, answer=_created)
    return answer.response()


def _created(sweep: Sweep, jobs: Sequence[Job]) -> Answer:
    view = SweepDetail.with_points(sweep, jobs, ())
    return Answer.of(view, status=201, headers={"Location": f"/v1/sweeps/{sweep.id}"})


@router.get("", response_model=SweepPage)
def list_sweeps(
    caller: JobReader,
    database: TheDatabase,
    state: Annotated[list[SweepState], Query(description="only sweeps in this state; repeatable")] = [],  # noqa: B006  # FastAPI copies it
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> SweepPage:
    """List the tenant's sweeps, newest first."""
    page = operations.list_newest(database, tenant=caller.tenant, states=state, cursor=cursor, limit=limit)
    return SweepPage(items=[SweepView.of(each.sweep, each.jobs) for each in page.items], next_cursor=page.next_cursor)


@router.get("/{sweep_id}", response_model=SweepDetail, responses=problem_responses(NotFound))
def get_sweep(sweep_id: UUID, caller: JobReader, database: TheDatabase, front: Front = []) -> SweepDetail:  # noqa: B006
    """Return a sweep with the table of its points and their Pareto front."""
    return _detail(database, sweep_id, caller.tenant, front)


_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": "position,state,values\r\n"}}},
    **problem_responses(NotFound),
}


@router.get("/{sweep_id}/points.csv", response_class=Response, responses=_CSV)
def export_points(sweep_id: UUID, caller: JobReader, database: TheDatabase, front: Front = []) -> Response:  # noqa: B006
    """Export the table of points as CSV: a column for each axis and each figure."""
    headers = {"Content-Disposition": f'attachment; filename="sweep-{sweep_id}.csv"', "Cache-Control": "no-store"}
    text = csv_of(_detail(database, sweep_id, caller.tenant, front))
    return Response(text, headers=headers, media_type="text/csv; charset=utf-8")


_CHANGE: dict[str, Any] = {"response_model": SweepDetail, "responses": problem_responses(NotFound, Conflict)}


@router.post("/{sweep_id}/cancel", **_CHANGE)
def cancel_sweep(sweep_id: UUID, caller: JobWriter, database: TheDatabase) -> SweepDetail:
    """Cancel all unfinished jobs of the sweep: queued ones immediately, running ones within seconds. Idempotent."""
    lifecycle.cancel(database, sweep_id, tenant=caller.tenant)
    return _detail(database, sweep_id, caller.tenant)


@router.post("/{sweep_id}/pause", **_CHANGE)
def pause_sweep(sweep_id: UUID, caller: JobWriter, database: TheDatabase) -> SweepDetail:
    """Pause all unfinished jobs of the sweep; finished blocks are kept. A search adds no points until it is resumed."""
    lifecycle.pause(database, sweep_id, tenant=caller.tenant)
    return _detail(database, sweep_id, caller.tenant)


@router.post("/{sweep_id}/resume", **_CHANGE)
def resume_sweep(sweep_id: UUID, caller: JobWriter, database: TheDatabase) -> SweepDetail:
    """Queue the paused jobs of the sweep again."""
    lifecycle.resume(database, sweep_id, tenant=caller.tenant)
    return _detail(database, sweep_id, caller.tenant)


@router.post(
    "/{sweep_id}/retry",
    response_model=SweepDetail,
    responses=problem_responses(NotFound, Conflict, QuotaExceeded),
)
def retry_sweep(
    sweep_id: UUID, caller: JobWriter, settings: TheSettings, database: TheDatabase, models: TheModels
) -> SweepDetail:
    """Retry the points that failed, expired or were cancelled; finished blocks are reused. A failed search continues."""
    lifecycle.retry(database, settings, models, sweep_id, tenant=caller.tenant)
    return _detail(database, sweep_id, caller.tenant)


@router.delete("/{sweep_id}", status_code=204, responses=problem_responses(NotFound, Conflict))
def delete_sweep(
    sweep_id: UUID,
    caller: JobWriter,
    database: TheDatabase,
    keep_jobs: Annotated[bool, TRUE_OR_FALSE, Query(description="keep the jobs and their artifacts")] = False,
) -> None:
    """Delete an ended sweep with its jobs and their artifacts."""
    lifecycle.delete(database, sweep_id, tenant=caller.tenant, keep_jobs=keep_jobs)


async def _subscription(
    sweep_id: UUID, caller: JobReader, wakeups: TheWakeups, accept: Accept = "*/*"
) -> AsyncIterator[Subscription | None]:
    with subscription(sweep_id, caller, wakeups, accept) as opened:
        yield opened


@router.get("/{sweep_id}/events", response_model=EventPage, responses=EVENT_RESPONSES)
def read_sweep_events(
    sweep_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    opened: Annotated[Subscription | None, Depends(_subscription)],
    reading: AsReading,
) -> EventPage | Response:
    """List the sweep's events, oldest first, or stream them with `Accept: text/event-stream`, as a job's."""
    return reading.answer(partial(operations.events_after, database, sweep_id, tenant=caller.tenant), opened)


def _detail(database: Database, sweep_id: UUID, tenant: str, front: Sequence[str] = ()) -> SweepDetail:
    return SweepDetail.with_points(*operations.get(database, sweep_id, tenant=tenant), front)
