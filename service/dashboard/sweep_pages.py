"""Pages of sweeps: list, one sweep with its chart, and the form of a new one."""

import json
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from service.contract.recipe.presets import PRESETS
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.contract.sweeps import ENDED, SweepEventType, SweepSpec, SweepState
from service.dashboard import choices
from service.dashboard import operations as pages
from service.dashboard.access import Reader, check_may_write
from service.dashboard.rendering import page
from service.dashboard.search_scale import scale_of
from service.dashboard.sweep_tables import PointTable, TableChoice
from service.database.tables.jobs import Job
from service.jobs import operations as jobs
from service.jobs.repository import JobFilter
from service.sweeps import operations
from service.sweeps.schemas import SweepView
from service.web.dependencies import TheDatabase
from service.web.query_parameters import PageCursor

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50
_MOST_JOBS: Final = 50
_Text = Annotated[str, Query(max_length=256)]
_SHOWN: Final = {"calibration": ("dataset", "num_samples", "sequence_length"), "evaluation": ("perplexity", "sequence_length")}
"""Fields of an earlier job that the form shows even where they have their defaults."""


@router.get("/sweeps")
def show_sweeps(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    state: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI copies it
    cursor: PageCursor = None,
) -> Response:
    """Show the sweep list."""
    states = [known for known in SweepState if known in state]
    found = operations.list_newest(database, tenant=reader.tenant, states=states, cursor=cursor or None, limit=_PAGE)
    return page(
        request,
        "sweeps.html",
        sweeps=[SweepView.of(each.sweep, each.jobs) for each in found.items],
        next_cursor=found.next_cursor,
        cursor=cursor,
        states=list(SweepState),
        wanted=states,
    )


@router.get("/sweeps/new")
def show_new_sweep(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    earlier_id: Annotated[UUID | None, Query(alias="from")] = None,
    source: Literal["hub", "local", "job"] = "hub",
    model_id: Annotated[str, Query(alias="id", max_length=256)] = "",
    preset: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI copies it
    values: _Text = "",
) -> Response:
    """Show the form, filled in from an earlier job or with a model, and with presets and sparsities."""
    check_may_write(reader, "creating sweeps")
    earlier = jobs.get(database, earlier_id, tenant=reader.tenant) if earlier_id else None
    done = JobFilter([JobState.SUCCEEDED], None, {})
    model, template = _template(earlier)
    if earlier is None and model_id:
        model = {"source": source, "id": model_id}
    if preset:  # steps named in the template would override those of every preset
        template.pop("recipe", None)
    usual = earlier.spec.get("recipe", {}).get("preset") if earlier else "balanced"
    return page(
        request,
        "new_sweep.html",
        earlier=earlier,
        model=model,
        body=json.dumps(template, indent=2, ensure_ascii=False),
        preset=usual,
        chosen=[each for each in PRESETS if each in preset] or [usual],
        values=values or "0.4, 0.5, 0.6",
        presets=list(PRESETS),
        models=pages.models(database, tenant=reader.tenant),
        made=jobs.list_newest(database, done, tenant=reader.tenant, cursor=None, limit=_MOST_JOBS).items,
    )


@router.get("/sweeps/{sweep_id}")
def show_sweep(
    request: Request,
    sweep_id: UUID,
    reader: Reader,
    database: TheDatabase,
    x: _Text = "",
    y: _Text = "",
    scale: _Text = "",
    sort: _Text = "",
) -> Response:
    """Show one sweep; its URL names the measures of the chart and the order of the table."""
    sweep, points = operations.get(database, sweep_id, tenant=reader.tenant)
    spec, asked = SweepSpec.model_validate(sweep.spec), TableChoice(x, y, scale, sort)
    counts = {state: count for state in JobState if (count := sum(job.state == state for job in points))}
    table = PointTable(spec, points, asked)
    return page(
        request,
        "sweep.html",
        sweep=SweepView.of(sweep, counts),
        spec=spec,
        seq=sweep.event_seq,
        has_ended=sweep.state in ENDED,
        actions=_ACTIONS[SweepState(sweep.state)] if reader.may_write else [],
        types=list(SweepEventType),
        table=table,
        rows=table.rows(),
        asked=asked,
        body=json.dumps(sweep.spec, indent=2, ensure_ascii=False),
        scale=scale_of(spec, points, sweep.search or {}) if spec.is_search else None,
        stored_bytes=sum(job.artifact_bytes or 0 for job in points if job.artifact_removed_at is None),
    )


_ACTIONS: Final = {
    SweepState.RUNNING: ["pause", "cancel"],
    SweepState.PAUSED: ["resume", "cancel"],
    SweepState.CANCELLING: [],
    SweepState.FINISHED: ["delete"],
    SweepState.FAILED: ["retry", "delete"],
    SweepState.CANCELLED: ["retry", "delete"],
}


def _template(earlier: Job | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an earlier job's model, and the rest of its spec without defaults, its preset and what that fills in.

    The effort is left out, because it would fill in fields that have their defaults.
    """
    if earlier is None:
        return {"source": "hub", "id": ""}, {"effort": "quick"}
    try:
        spec = JobSpec.model_validate(earlier.spec)
    except ValidationError:
        return earlier.spec.get("model", {}), {name: part for name, part in earlier.spec.items() if name != "model"}
    full, short = (
        spec.model_dump(mode="json"),
        spec.model_dump(mode="json", exclude_defaults=True, exclude={"model", "recipe", "effort"}),
    )
    usual = choices.filled_presets()[spec.recipe.preset or ""]
    recipe = {name: value for name, value in full["recipe"].items() if value != usual.get(name) and name != "preset"}
    parts = {part: {name: full[part][name] for name in names} | short.pop(part, {}) for part, names in _SHOWN.items()}
    return full["model"], {**({"recipe": recipe} if recipe else {}), **parts, **short}
