"""Pages of models: inspection, models of the tenant's jobs and of the server's folders, and the chart of one model."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from service.contract.states import JobState
from service.dashboard import operations
from service.dashboard.access import Reader
from service.dashboard.measure_texts import name_of
from service.dashboard.points.chart import ChartChoice
from service.dashboard.points.operations import MOST, model_page
from service.dashboard.rendering import page
from service.jobs import operations as jobs
from service.jobs.groups.repository import MOST_COMPARED
from service.jobs.repository import WINDOW, JobFilter
from service.models.folder import local_models
from service.web.dependencies import TheDatabase, TheModels, TheSettings

router: Final = APIRouter(include_in_schema=False)

_Text = Annotated[str, Query(max_length=512)]
_MOST_MODELS: Final = 100
_MOST_MADE: Final = 50
_MOST_LOCAL: Final = 200


async def _named(
    source: Literal["hub", "local", "job"] = "hub",
    name: Annotated[str, Query(alias="id", max_length=256)] = "",
    revision: Annotated[str, Query(max_length=128)] = "",
    token: Annotated[str, Query(max_length=128)] = "",
) -> dict[str, Any] | None:
    """Return the model named in the query, as form values; the form's script checks through the API that it exists."""
    return {"source": source, "id": name, "revision": revision or None, "token": token or None} if name else None


Named = Annotated[dict[str, Any] | None, Depends(_named)]


@router.get("/models")
def show_models(
    request: Request, reader: Reader, settings: TheSettings, database: TheDatabase, models: TheModels, named: Named
) -> Response:
    """Show the list of models."""
    done = JobFilter([JobState.SUCCEEDED], None, {})
    made = jobs.list_newest(database, done, tenant=reader.tenant, cursor=None, limit=_MOST_MADE).items
    local: Sequence[str] | None = local_models(settings, limit=_MOST_LOCAL) if models.has_folders else None
    used = operations.used_models(database, tenant=reader.tenant, limit=_MOST_MODELS)
    return page(
        request,
        "models.html",
        named=named or {"source": "hub", "id": "", "revision": None, "token": None},
        used=used,
        window=WINDOW,
        is_window_full=sum(sum(each.counts.values()) for each in used) >= WINDOW,
        most=_MOST_MODELS,
        local=local,
        most_local=_MOST_LOCAL,
        most_compared=MOST_COMPARED,
        made=made,
    )


@router.get("/models/{source}/{name:path}")
def show_model(
    request: Request,
    source: Literal["hub", "local", "job"],
    name: Annotated[str, Path(max_length=256)],
    reader: Reader,
    database: TheDatabase,
    y: _Text = "",
    on: _Text = "",
    scale: _Text = "",
    revision: _Text | None = None,
) -> Response:
    """Show the chart of one model; its URL names the measure and its conditions."""
    seen = model_page(database, ChartChoice(y, on, scale), tenant=reader.tenant, source=source, model=name, revision=revision)
    gap = seen.gap
    return page(
        request,
        "model.html",
        **vars(seen),
        source=source,
        name=name,
        measure_name=name_of,
        most=MOST,
        fill=[("from", seen.newest), *(("preset", each) for each in gap.presets), ("values", gap.values)] if gap else [],
    )
