"""Pages of the overview and of jobs. Pages are read-only; their scripts make changes through the API."""

import json
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.contract.failures import FailureCode
from service.contract.states import TERMINAL_STATES, EventType, JobState
from service.dashboard import operations, quality
from service.dashboard.access import Reader
from service.dashboard.exporting import csv_of
from service.dashboard.filtering import Asked
from service.dashboard.job_logs import WantedLines, log_of
from service.dashboard.rendering import page
from service.jobs import operations as jobs
from service.jobs.sorting import MAX_CURSOR
from service.web.dependencies import TheDatabase, TheSettings, TheStore

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_CANCELLABLE: Final = frozenset(JobState) - TERMINAL_STATES - {JobState.CANCELLING}


@router.get("/")
def show_overview(request: Request, reader: Reader, settings: TheSettings, database: TheDatabase) -> Response:
    """Show counts, running jobs, failures and workers."""
    seen = operations.overview(database, settings, tenant=reader.tenant)
    sentences = {str(code): code.sentence for code in FailureCode}
    return page(request, "overview.html", seen=seen, sentences=sentences)


@router.get("/jobs")
def show_jobs(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    asked: Asked,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
) -> Response:
    """Show the job list, filtered, sorted and paginated."""
    found = jobs.list_sorted(database, asked.wanted, asked.order, tenant=reader.tenant, cursor=cursor or None, limit=_PAGE)
    return page(
        request,
        "jobs.html",
        status=422 if asked.errors else 200,
        found=found,
        asked=asked,
        cursor=cursor,
        states=list(JobState),
        cancellable=_CANCELLABLE,
        models=operations.models(database, tenant=reader.tenant),
    )


@router.get("/jobs.csv")
def export_jobs(reader: Reader, database: TheDatabase, asked: Asked) -> Response:
    """Export the filtered job list as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="jobs.csv"', "Cache-Control": "no-store"}
    lines = csv_of(database, asked.wanted, asked.order, tenant=reader.tenant)
    return StreamingResponse(lines, headers=headers, media_type="text/csv; charset=utf-8")


@router.get("/jobs/{job_id}")
def show_job(
    request: Request,
    job_id: UUID,
    reader: Reader,
    settings: TheSettings,
    database: TheDatabase,
    store: TheStore,
    wanted_lines: WantedLines,
    event: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Show one job."""
    types = [known for known in EventType if known in (event or ())]
    seen = operations.details(database, settings, job_id, tenant=reader.tenant, event_types=types)
    artifact = operations.artifact(database, store, job_id, tenant=reader.tenant) if reader.may_fetch else None
    metrics = seen.job.metrics or {}
    return page(
        request,
        "job.html",
        seen=seen,
        job=seen.job,
        types=types,
        event_types=list(EventType),
        artifact=artifact,
        log=log_of(database, seen.job, wanted_lines),
        rows=quality.rows(metrics),
        agreements=quality.agreements(metrics),
        memory=quality.memory(metrics),
        spec=json.dumps(seen.job.spec, indent=2, ensure_ascii=False),
        actions=_actions(seen.job.state) if reader.may_write else [],
        has_ended=seen.job.state in TERMINAL_STATES,
    )


def _actions(state: str) -> list[str]:
    """Return the actions available in this state."""
    ended = [*(["retry"] if state != JobState.SUCCEEDED else []), "delete"]
    actions = {
        JobState.QUEUED: ["pause", "cancel"],
        JobState.RUNNING: ["pause", "cancel"],
        JobState.PAUSING: ["cancel"],
        JobState.PAUSED: ["resume", "cancel"],
        JobState.CANCELLING: [],
    }
    return actions.get(JobState(state), ended)
