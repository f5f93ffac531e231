"""Pages of the overview and of the job list. Pages are read-only; their scripts make changes through the API."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.contract.failures import FailureCode
from service.contract.recipe.presets import PRESETS
from service.contract.states import TERMINAL_STATES, JobState
from service.contract.verdicts import judge
from service.dashboard import operations
from service.dashboard.access import Reader
from service.dashboard.exporting import csv_of
from service.dashboard.filtering import AskedJobs
from service.dashboard.job_columns import COLUMNS, NAME, ORDERS
from service.dashboard.job_list import job_list
from service.dashboard.rendering import page
from service.jobs.sorting import MAX_CURSOR
from service.models.folder import local_models
from service.web.dependencies import TheDatabase, TheModels, TheSettings

router: Final = APIRouter(include_in_schema=False)

_MOST_LOCAL: Final = 12
_CANCELLABLE: Final = frozenset(JobState) - TERMINAL_STATES - {JobState.CANCELLING}


@router.get("/")
def show_overview(request: Request, reader: Reader, settings: TheSettings, database: TheDatabase, models: TheModels) -> Response:
    """Show counts, running jobs, failures and workers."""
    seen = operations.overview(database, settings, tenant=reader.tenant)
    sentences = {str(code): code.sentence for code in FailureCode}
    local = local_models(settings, limit=_MOST_LOCAL) if seen.is_new and models.has_folders else []
    return page(request, "overview.html", seen=seen, sentences=sentences, judge=judge, local=local)


@router.get("/jobs")
def show_jobs(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    asked: AskedJobs,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
) -> Response:
    """Show the job list, filtered, sorted and paginated."""
    return page(
        request,
        "jobs.html",
        status=422 if asked.errors else 200,
        found=job_list(database, asked, tenant=reader.tenant, cursor=cursor or None),
        asked=asked,
        cursor=cursor,
        states=list(JobState),
        cancellable=_CANCELLABLE if reader.may_write else (),
        name=NAME,
        columns=COLUMNS,
        presets=list(PRESETS),
        orders=ORDERS,
    )


@router.get("/jobs.csv")
def export_jobs(reader: Reader, database: TheDatabase, asked: AskedJobs) -> Response:
    """Export the filtered job list as CSV."""
    headers = {"Content-Disposition": 'attachment; filename="jobs.csv"', "Cache-Control": "no-store"}
    lines = csv_of(database, asked.wanted, asked.order, tenant=reader.tenant)
    return StreamingResponse(lines, headers=headers, media_type="text/csv; charset=utf-8")
