"""Page of the new-job form, filled in with the defaults or with an earlier job's spec."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from service.contract.datasets import dataset_of
from service.contract.efforts import EFFORTS, FILLED, EffortName
from service.contract.formats import FORMATS
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.dashboard import choices, formats, operations, preset_figures
from service.dashboard.access import Reader, check_may_write
from service.dashboard.model_pages import Named
from service.dashboard.rendering import page
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.datasets import operations as datasets
from service.datasets.operations import Upload
from service.jobs import operations as jobs
from service.jobs.repository import JobFilter
from service.models.folder import local_models
from service.recipes import operations as recipes
from service.settings import Settings
from service.web.dependencies import TheDatabase, TheModels, TheSettings

router: Final = APIRouter(include_in_schema=False)

_MOST_UPLOADS: Final = 100
_MOST_JOBS: Final = 50
_MOST_LOCAL: Final = 200
_MOST_TEXTS: Final = 12
"""Texts shown without a search field."""


CARDS: Final = ("fast", "balanced", "best")
"""Presets that have a card each; the others are in the group of the recipe."""
_DEFAULT_EFFORT: Final = "quick"
"""As of the command: a first job ends within minutes and needs no hub."""


@router.get("/jobs/new")
def show_new_job(
    request: Request,
    reader: Reader,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    named: Named,
    source: Annotated[UUID | None, Query(alias="from")] = None,
    effort: EffortName | None = None,
) -> Response:
    """Show the form; with an effort, the earlier job's texts are replaced by those of the effort."""
    check_may_write(reader, "creating jobs")
    earlier = jobs.get(database, source, tenant=reader.tenant) if source else None
    known = recipes.describe()
    uploads = datasets.list_all(database, cursor=None, limit=_MOST_UPLOADS, tenant=reader.tenant).uploads
    return page(
        request,
        "new_job.html",
        earlier=earlier,
        body=_body(earlier, effort) | ({"model": named} if named else {}),
        defaults=known.defaults,
        presets={each.name: each for each in known.presets},
        cards=CARDS,
        figures=preset_figures.ratios(),
        efforts=known.efforts,
        filled_efforts=_filled_efforts(),
        choices=[each for each in choices.choices() if each.pointer != "/recipe/pattern"],
        recipes={
            "fitting": choices.fitting(),
            "choices": {each.pointer: {kind.name: kind.body for kind in each.kinds} for each in choices.choices()},
            "presets": choices.filled_presets(),
            "mask": choices.kinds_with_mask(),
        },
        formats=FORMATS,
        has_mlflow=settings.mlflow_tracking_uri is not None or bool(earlier and earlier.spec.get("output", {}).get("mlflow")),
        datasets=_references(uploads, earlier.spec if earlier else {}),
        most_texts=_MOST_TEXTS,
        models=_suggestions(database, settings, tenant=reader.tenant, has_folders=models.has_folders),
    )


def _suggestions(database: Database, settings: Settings, *, tenant: str, has_folders: bool) -> dict[str, list[tuple[str, str]]]:
    """Return names and descriptions of models by source: folders, artifacts of earlier jobs, models of the tenant's jobs."""
    folders = local_models(settings, limit=_MOST_LOCAL) if has_folders else []
    done = jobs.list_newest(database, JobFilter([JobState.SUCCEEDED], None, {}), tenant=tenant, cursor=None, limit=_MOST_JOBS)
    made = [(str(job.id), f"{job.model}, {formats.pattern(job.spec)}") for job in done.items if job.artifact_removed_at is None]
    used = operations.models(database, tenant=tenant, source="hub")
    return {"local": [(name, "") for name in folders], "job": made, "hub": [(name, "") for name in used]}


def _filled_efforts() -> dict[str, Any]:
    """Return calibration and evaluation of each effort with all defaults; the empty name is a body without an effort."""
    specs = {name: JobSpec.model_validate({"model": {"id": "any"}, "effort": name or None}) for name in ("", *EFFORTS)}
    return {name: spec.model_dump(mode="json", include=set(FILLED)) for name, spec in specs.items()}


def _body(earlier: Job | None, effort: EffortName | None) -> dict[str, Any]:
    """Return an earlier job's spec with the defaults of newer fields; unchanged if it is no longer valid."""
    if earlier is None:
        first = JobSpec.model_validate({"model": {"id": "any"}, "effort": effort or _DEFAULT_EFFORT}).model_dump(mode="json")
        return first | {"model": {"source": "hub", "id": ""}}
    spec = earlier.spec
    if effort:
        rest = {part: {name: value for name, value in spec.get(part, {}).items() if name not in FILLED[part]} for part in FILLED}
        spec = {**spec, **rest, "effort": effort}
    try:
        return JobSpec.model_validate(spec).model_dump(mode="json")
    except ValidationError:
        return earlier.spec


def _references(uploads: Sequence[Upload], spec: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return references `name:split` and their titles per data set, including those that the earlier job used."""
    known = {each.name: (each.name, each.splits) for each in recipes.describe().datasets}
    for upload in uploads:
        made = dataset_of(upload.dataset.id)
        assert made is not None
        known[upload.dataset.id] = (upload.dataset.name, list(made.splits))
    found = {name: {f"{name}:{split}": f"{title}, {split}" for split in splits} for name, (title, splits) in known.items()}
    named = [spec.get("calibration", {}).get("dataset"), *spec.get("evaluation", {}).get("perplexity", ())]
    for reference in filter(None, named):
        found.setdefault(reference.partition(":")[0], {}).setdefault(reference, reference)
    return found
