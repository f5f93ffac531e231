"""Routes of jobs."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from annotated_types import Interval
from fastapi import APIRouter, Body, Query, Response
from starlette.concurrency import run_in_threadpool

from service.api.job_parameters import LABEL_PARAMETER, IfMatch, IfNoneMatch, JobCursor, SortedBy, WantedJobs, is_known
from service.contract.matrices import LayerView
from service.contract.spec import JobSpec
from service.database.engine import TRANSIENT
from service.database.tables.jobs import Job
from service.errors import Conflict, NotFound
from service.idempotency.operations import InFlight
from service.idempotency.stored_response import REPLAYED, Answer
from service.jobs import lifecycle, operations
from service.jobs.lifecycle import PreconditionFailed
from service.jobs.operations import JobNotFound, QuotaExceeded
from service.jobs.schemas import SPEC_EXAMPLES, AttemptPage, EtaView, JobPage, JobView, LayerPage
from service.jobs.sorting import JobOrder
from service.planning import capacity, warnings
from service.planning import eta as outlook
from service.planning import operations as plans
from service.planning.schemas import PlanView
from service.web.authentication import JobReader, JobWriter
from service.web.dependencies import TheDatabase, TheModels, TheSettings
from service.web.headers import LOCATION
from service.web.idempotency_key import OptionalKeyedRequest
from service.web.prefer_wait import VARY, WAITED, ToWait, Waiting
from service.web.problem_responses import problem_responses
from service.web.query_parameters import IN_DIGITS, PAGE_BEFORE, TRUE_OR_FALSE, LongPageLimit, PageLimit
from service.web.request_body import BODY_PROBLEMS

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "the job's version, for `If-Match`"}}
_CREATED = {"headers": _ETAG | LOCATION}
_CREATED_ONCE = {"headers": _CREATED["headers"] | REPLAYED | WAITED}
_CREATE_PROBLEMS = problem_responses(*BODY_PROBLEMS, QuotaExceeded, InFlight)


@router.post(
    "",
    status_code=201,
    response_model=JobView,
    responses={
        200: {"model": PlanView, "description": "With `validate_only`: the plan; nothing is stored"},
        201: _CREATED_ONCE,
        **_CREATE_PROBLEMS,
    },
)
async def create_job(
    spec: Annotated[JobSpec, Body(openapi_examples=SPEC_EXAMPLES)],
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    keyed: OptionalKeyedRequest,
    waiting: ToWait,
    validate_only: Annotated[
        bool, TRUE_OR_FALSE, Query(description="validate the job and return its plan without creating it")
    ] = False,
) -> Response:
    """Create a job. The response means that the job is stored durably.

    With `Prefer: wait=n` the response shows the job after the wait, also on a replay by `Idempotency-Key`.
    """
    if validate_only:
        planned = await run_in_threadpool(plans.plan, database, settings, models, spec, tenant=caller.tenant)
        return Response(PlanView.of(planned).model_dump_json(), media_type="application/json")
    rules = partial(operations.create, warn=warnings.of_creation, measure=capacity.least_memory)
    create = partial(rules, database, settings, models, spec)
    answer = await run_in_threadpool(create, tenant=caller.tenant, keyed=keyed, answer=_created)
    if waiting.seconds is None:
        return answer.response(VARY)
    return await _after_waiting(answer, waiting, caller.tenant)


async def _after_waiting(answer: Answer, waiting: Waiting, tenant: str) -> Response:
    """Return the job after the wait; as created, if it cannot be read any more."""
    try:
        waited = await waiting.until_ended(UUID(json.loads(answer.body)["id"]), tenant=tenant)
    except (JobNotFound, *TRANSIENT):
        return answer.response(VARY)
    warned = json.loads(answer.body)["warnings"]
    return replace(_created(waited.job, warned), is_replay=answer.is_replay).response(waited.headers)


def _created(job: Job, warned: Sequence[str] = ()) -> Answer:
    view = JobView.of(job)
    view.warnings = list(dict.fromkeys([*view.warnings, *warned]))
    return Answer.of(view, status=201, headers=_etag(job) | {"Location": f"/v1/jobs/{job.id}"})


@router.get("", response_model=JobPage, openapi_extra={"parameters": [LABEL_PARAMETER]})
def list_jobs(
    caller: JobReader,
    database: TheDatabase,
    wanted: WantedJobs,
    limit: PageLimit = 20,
    cursor: JobCursor = None,
    sort: SortedBy = JobOrder.NEWEST,
) -> Response:
    """List the tenant's jobs, by default newest first. A cursor is valid only with its sort order."""
    page = operations.list_sorted(database, wanted, sort, tenant=caller.tenant, cursor=cursor, limit=limit)
    views = JobPage(items=[JobView.of(job) for job in page.items], next_cursor=page.next_cursor)
    return Response(views.model_dump_json(), media_type="application/json")  # validation would double the time


_READ: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG | WAITED},
    304: {"description": "Not modified (`If-None-Match`)", "headers": _ETAG | WAITED},
    **problem_responses(NotFound),
}


@router.get("/{job_id}", response_model=JobView, responses=_READ)
async def get_job(
    job_id: UUID,
    caller: JobReader,
    settings: TheSettings,
    database: TheDatabase,
    waiting: ToWait,
    response: Response,
    if_none_match: IfNoneMatch,
) -> JobView | Response:
    """Return one job: with `Prefer: wait=n` after it has ended, with `If-None-Match` only if it has changed."""
    waited = await waiting.until_ended(job_id, tenant=caller.tenant)
    if is_known(if_none_match, waited.job.version):
        return Response(status_code=304, headers=_etag(waited.job) | waited.headers)
    response.headers.update(waited.headers)
    expected = await run_in_threadpool(outlook.eta, database, settings, waited.job)
    eta = EtaView.model_validate(expected) if expected else None
    return _shown(waited.job, response).model_copy(update={"queue_position": expected and expected.queue_position, "eta": eta})


_CHANGE: dict[str, Any] = {
    "response_model": JobView,
    "responses": {200: {"headers": _ETAG}, **problem_responses(NotFound, Conflict, PreconditionFailed)},
}


@router.post("/{job_id}/cancel", **_CHANGE)
def cancel_job(job_id: UUID, caller: JobWriter, database: TheDatabase, response: Response, if_match: IfMatch) -> JobView:
    """Cancel the job: immediately while it waits, within seconds while it runs. Idempotent."""
    return _shown(lifecycle.cancel(database, job_id, tenant=caller.tenant, versions=if_match), response)


@router.post("/{job_id}/pause", **_CHANGE)
def pause_job(job_id: UUID, caller: JobWriter, database: TheDatabase, response: Response, if_match: IfMatch) -> JobView:
    """Pause the job: immediately while it is queued, within seconds while it runs; finished blocks are kept."""
    return _shown(lifecycle.pause(database, job_id, tenant=caller.tenant, versions=if_match), response)


@router.post("/{job_id}/resume", **_CHANGE)
def resume_job(job_id: UUID, caller: JobWriter, database: TheDatabase, response: Response, if_match: IfMatch) -> JobView:
    """Queue a paused job again. It continues after its last finished block; paused time does not count towards its deadlines."""
    return _shown(lifecycle.resume(database, job_id, tenant=caller.tenant, versions=if_match), response)


@router.post(
    "/{job_id}/retry",
    status_code=201,
    response_model=JobView,
    responses={
        200: {"model": JobView, "description": "The job was already retried: that job", **_CREATED},
        201: _CREATED,
        **problem_responses(NotFound, Conflict, PreconditionFailed, QuotaExceeded),
    },
)
def retry_job(
    job_id: UUID,
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    response: Response,
    if_match: IfMatch,
) -> JobView:
    """Create a new job from one that failed, expired or was cancelled; finished blocks are reused."""
    made = lifecycle.retry(database, settings, models, job_id, tenant=caller.tenant, versions=if_match)
    response.status_code = 201 if made.is_new else 200
    response.headers["Location"] = f"/v1/jobs/{made.job.id}"
    return _shown(made.job, response)


@router.post("/{job_id}/mlflow", **_CHANGE)
def log_job_to_mlflow(
    job_id: UUID, caller: JobWriter, settings: TheSettings, database: TheDatabase, response: Response, if_match: IfMatch
) -> JobView:
    """Log a succeeded job to MLflow again, such as after attempts were given up. Idempotent while an attempt is due."""
    return _shown(lifecycle.log_again(database, settings, job_id, tenant=caller.tenant, versions=if_match), response)


@router.delete("/{job_id}", status_code=204, responses=problem_responses(NotFound, Conflict, PreconditionFailed))
def delete_job(job_id: UUID, caller: JobWriter, database: TheDatabase, if_match: IfMatch) -> None:
    """Delete an ended job and its artifact: from the API immediately, from the store within minutes."""
    lifecycle.delete(database, job_id, tenant=caller.tenant, versions=if_match)


@router.get("/{job_id}/attempts", response_model=AttemptPage, responses=problem_responses(NotFound))
def list_attempts(job_id: UUID, caller: JobReader, database: TheDatabase) -> AttemptPage:
    """List the job's attempts: workers and outcomes."""
    return AttemptPage.of(list(operations.attempts(database, job_id, tenant=caller.tenant)))


@router.get("/{job_id}/layers", response_model=LayerPage, responses=problem_responses(NotFound))
def list_layers(
    job_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    limit: LongPageLimit = 1000,
    cursor: Annotated[int, Interval(ge=-1, lt=2**31), IN_DIGITS, Query(description=PAGE_BEFORE)] = -1,
) -> LayerPage:
    """List the pruning results per matrix, as far as available."""
    page = operations.layers(database, job_id, tenant=caller.tenant, after=cursor, limit=limit)
    return LayerPage(items=[LayerView.model_validate(layer) for layer in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}/metrics", response_model=dict[str, Any], responses=problem_responses(NotFound))
def get_metrics(job_id: UUID, caller: JobReader, database: TheDatabase) -> dict[str, Any]:
    """Return the metrics available so far: quality of both models, sizes, seconds per stage, peak memory."""
    return operations.get(database, job_id, tenant=caller.tenant).metrics or {}


def _shown(job: Job, response: Response) -> JobView:
    response.headers.update(_etag(job))
    return JobView.of(job)


def _etag(job: Job) -> dict[str, str]:
    return {"ETag": f'"{job.version}"'}
