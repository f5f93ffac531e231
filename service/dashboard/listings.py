"""Pages of workers and data sets."""

from typing import Final

from fastapi import APIRouter, Request, Response

from service.dashboard import operations
from service.dashboard.access import Reader
from service.dashboard.rendering import page
from service.datasets import operations as datasets
from service.datasets.schemas import DatasetView
from service.web.dependencies import TheDatabase, TheSettings
from service.web.query_parameters import PageCursor

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50


@router.get("/workers")
def show_workers(request: Request, reader: Reader, settings: TheSettings, database: TheDatabase) -> Response:
    """Show the workers."""
    now, workers = operations.workers_now(database, settings, tenant=reader.tenant)
    return page(request, "workers.html", now=now, workers=workers)


@router.get("/datasets")
def show_datasets(
    request: Request,
    reader: Reader,
    settings: TheSettings,
    database: TheDatabase,
    cursor: PageCursor = None,
) -> Response:
    """Show built-in data sets and the tenant's uploads."""
    found = datasets.list_all(database, cursor=cursor or None, limit=_PAGE, tenant=reader.tenant)
    return page(
        request,
        "datasets.html",
        built_in=[DatasetView.built_in(each) for each in found.built_in],
        uploads=[DatasetView.upload(each.dataset, each.used_by_jobs) for each in found.uploads],
        next_cursor=found.next_cursor,
        cursor=cursor,
        max_bytes=settings.max_dataset_bytes,
    )
