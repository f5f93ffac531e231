"""Pages of one job: a head with state and verdict, and tabs, each with an address of its own. Only the shown tab is queried."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from service.contract.datasets import HUB_DATASETS
from service.contract.failures import FailureCode
from service.contract.scopes import Scope
from service.contract.states import TERMINAL_STATES, EventType, JobState
from service.dashboard import job_details, job_logs, quality, verdict_strip
from service.dashboard.access import Reader, Visitor
from service.dashboard.job_details import JobHead
from service.dashboard.job_logs import WantedLines
from service.dashboard.rendering import HEADERS, page
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.errors import NotFound
from service.jobs.schemas import mlflow_log
from service.storage.artifact_store import ArtifactStore
from service.web.authentication import Forbidden
from service.web.dependencies import TheDatabase, TheSettings, TheStore

router: Final = APIRouter(include_in_schema=False)

_REPORT_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
"""The report is a file of an artifact: in a sandbox it runs no script and has no access to the session."""


class Tab(StrEnum):
    """Part of a job's page; its value is the last part of the address, and the template's name."""

    OVERVIEW = "overview"
    LAYERS = "layers"
    SAMPLES = "samples"
    LOGS = "logs"
    EVENTS = "events"
    FILES = "files"
    CONFIG = "config"


@router.get("/jobs/{job_id}")
def show_job(
    request: Request, job_id: UUID, reader: Reader, settings: TheSettings, database: TheDatabase, store: TheStore
) -> Response:
    """Show a job's overview."""
    seen = job_details.head(database, settings, job_id, tenant=reader.tenant)
    return _page(request, Tab.OVERVIEW, reader, seen, database, store, [])


@router.get("/jobs/{job_id}/report")
def show_report(job_id: UUID, reader: Reader, database: TheDatabase, store: TheStore) -> Response:
    """Show the report of a job in the browser, where it runs no script."""
    if not reader.may_fetch:
        raise Forbidden(f"the report needs a key with the scope {Scope.ARTIFACTS_READ}; sign out and sign in with another key")
    content = job_details.report(database, store, job_id, tenant=reader.tenant)
    return HTMLResponse(content, headers={**HEADERS, "Content-Security-Policy": _REPORT_POLICY})


@router.get("/jobs/{job_id}/logs")
def show_logs(
    request: Request,
    job_id: UUID,
    reader: Reader,
    settings: TheSettings,
    database: TheDatabase,
    store: TheStore,
    wanted: WantedLines,
) -> Response:
    """Show a job's log."""
    seen = job_details.head(database, settings, job_id, tenant=reader.tenant)
    return _page(request, Tab.LOGS, reader, seen, database, store, [], log=job_logs.log_of(database, seen.job, wanted))


@router.get("/jobs/{job_id}/{tab}")
def show_tab(
    request: Request,
    job_id: UUID,
    tab: str,
    reader: Reader,
    settings: TheSettings,
    database: TheDatabase,
    store: TheStore,
    event: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Show another tab of a job."""
    if tab not in _CONTENTS:
        raise NotFound(f"a job has no page {tab!r}")
    seen = job_details.head(database, settings, job_id, tenant=reader.tenant)
    types = [known for known in EventType if known in (event or ())]
    return _page(request, Tab(tab), reader, seen, database, store, types)


def _page(
    request: Request,
    tab: Tab,
    reader: Visitor,
    seen: JobHead,
    database: Database,
    store: ArtifactStore,
    types: list[EventType],
    **more: Any,
) -> Response:
    job = seen.job
    has_ended = job.state in TERMINAL_STATES
    return page(
        request,
        f"job_{tab}.html",
        seen=seen,
        job=job,
        tab=tab,
        tabs=[each for each in Tab if each == tab or _has_content(each, seen, reader)],
        tiles=verdict_strip.tiles(job.metrics or {}, seen.judgement),
        actions=_actions(job.state) if reader.may_write else [],
        event_types=list(EventType),
        has_ended=has_ended,
        sample_texts_may_help=job.state == JobState.FAILED and _failed_at_texts(job),
        has_report=job.state == JobState.SUCCEEDED and job.artifact_removed_at is None and reader.may_fetch,
        **(_CONTENTS[tab](seen, reader, database, store, types) if tab in _CONTENTS else {}),
        **more,
    )


def _failed_at_texts(job: Job) -> bool:
    """Return whether the job failed where sample texts, which need no hub, may help."""
    texts = [job.spec.get("calibration", {}).get("dataset"), *job.spec.get("evaluation", {}).get("perplexity", ())]
    is_of_hub = any(str(each).partition(":")[0] in HUB_DATASETS for each in texts)
    return is_of_hub and (job.error or {}).get("code") in (FailureCode.HUB_UNAVAILABLE, FailureCode.DATASET_UNAVAILABLE)


def _has_content(tab: Tab, seen: JobHead, reader: Visitor) -> bool:
    if tab is Tab.LAYERS:
        return any(span.stage == "pruning" for course in seen.courses for span in course.spans)
    if tab is Tab.SAMPLES:
        return bool((seen.job.metrics or {}).get("samples"))
    return tab is not Tab.FILES or (seen.job.state == JobState.SUCCEEDED and reader.may_fetch)


def _overview(seen: JobHead, _: Visitor, database: Database, *_rest: Any) -> dict[str, Any]:
    metrics = seen.job.metrics or {}
    return {
        "rows": quality.rows(metrics),
        "agreements": quality.agreements(metrics),
        "memory": quality.memory(metrics),
        "mlflow": mlflow_log(seen.job),
        "last_lines": job_logs.last_lines(database, seen.job) if seen.job.state == JobState.FAILED else [],
    }


def _layers(seen: JobHead, _: Visitor, database: Database, *_rest: Any) -> dict[str, Any]:
    points, blocks = job_details.memory_of_blocks(database, seen.job.id)
    return {"memory_points": points, "blocks": blocks}


def _samples(seen: JobHead, *_: Any) -> dict[str, Any]:
    return {"samples": (seen.job.metrics or {}).get("samples")}


def _events(seen: JobHead, reader: Visitor, database: Database, _: ArtifactStore, types: list[EventType]) -> dict[str, Any]:
    return {
        "types": types,
        "events": job_details.events(database, seen.job.id, types),
        "most_events": job_details.SHOWN_EVENTS,
        "deliveries": job_details.deliveries(database, seen.job.id, tenant=reader.tenant),
        "most_deliveries": job_details.SHOWN_DELIVERIES,
    }


def _files(seen: JobHead, reader: Visitor, database: Database, store: ArtifactStore, *_: Any) -> dict[str, Any]:
    if not reader.may_fetch:
        raise Forbidden(f"files need a key with the scope {Scope.ARTIFACTS_READ}; sign out and sign in with another key")
    return {"files": job_details.files(database, store, seen.job.id, tenant=reader.tenant)}


def _config(seen: JobHead, *_: Any) -> dict[str, Any]:
    return {"spec": json.dumps(seen.job.spec, indent=2, ensure_ascii=False)}


_CONTENTS: Final[dict[Tab, Callable[..., dict[str, Any]]]] = {
    Tab.OVERVIEW: _overview,
    Tab.LAYERS: _layers,
    Tab.SAMPLES: _samples,
    Tab.EVENTS: _events,
    Tab.FILES: _files,
    Tab.CONFIG: _config,
}


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
