"""Page of the new-job form, filled in with the defaults or with an earlier job's spec."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from service.contract.datasets import dataset_of
from service.contract.formats import FORMATS
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.dashboard import choices, operations
from service.dashboard.access import Reader, check_may_write
from service.dashboard.model_pages import Named
from service.dashboard.rendering import page
from service.database.tables.jobs import Job
from service.datasets import operations as datasets
from service.datasets.operations import Upload
from service.jobs import operations as jobs
from service.jobs.repository import JobFilter
from service.recipes import operations as recipes
from service.web.dependencies import TheDatabase

router: Final = APIRouter(include_in_schema=False)

_MOST_UPLOADS: Final = 100
_MOST_JOBS: Final = 50
_MOST_TEXTS: Final = 12
"""Texts shown without a search field."""


@router.get("/jobs/new")
def show_new_job(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    named: Named,
    source: Annotated[UUID | None, Query(alias="from")] = None,
) -> Response:
    """Show the form."""
    check_may_write(reader, "creating jobs")
    earlier = jobs.get(database, source, tenant=reader.tenant) if source else None
    known = recipes.describe()
    uploads = datasets.list_all(database, cursor=None, limit=_MOST_UPLOADS, tenant=reader.tenant).uploads
    done = jobs.list_newest(
        database, JobFilter([JobState.SUCCEEDED], None, {}), tenant=reader.tenant, cursor=None, limit=_MOST_JOBS
    )
    return page(
        request,
        "new_job.html",
        earlier=earlier,
        body=_body(earlier, known.defaults) | ({"model": named} if named else {}),
        defaults=known.defaults,
        presets=known.presets,
        choices=choices.choices(),
        recipes={
            "fitting": choices.fitting(),
            "choices": {each.pointer: {kind.name: kind.body for kind in each.kinds} for each in choices.choices()},
            "presets": choices.filled_presets(),
            "mask": choices.kinds_with_mask(),
        },
        formats=FORMATS,
        datasets=_references(uploads, earlier.spec if earlier else {}),
        most_texts=_MOST_TEXTS,
        models=operations.models(database, tenant=reader.tenant),
        made=done.items,
    )


def _body(earlier: Job | None, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier job's spec with the defaults of newer fields; unchanged if it is no longer valid."""
    if earlier is None:
        return {"model": {"source": "hub", "id": ""}, **defaults}
    try:
        return JobSpec.model_validate(earlier.spec).model_dump(mode="json")
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
