"""Routes of data sets."""

from email.message import Message
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from service.contract.datasets import Dataset
from service.contract.display_names import DisplayName
from service.datasets import operations
from service.datasets.documents import MAX_LINE_BYTES, Format
from service.datasets.intake import Intake
from service.datasets.operations import DatasetQuotaExceeded, Upload
from service.datasets.schemas import DatasetPage, DatasetView
from service.errors import Conflict, NotFound, UnsupportedMediaType
from service.storage.artifact_store import StoreUnavailable
from service.tenants.shares import ShareExceeded
from service.web.authentication import JobReader, JobWriter
from service.web.dependencies import TheDatabase, TheSettings, TheStore, TheUploads
from service.web.problem_responses import problem_responses
from service.web.query_parameters import PageCursor, PageLimit
from service.web.request_body import BODY_PROBLEMS, media_type_of
from service.web.streamed_body import pieces

_PATH: Final = "/v1/datasets"
STREAMED: Final = (_PATH,)
"""Paths whose bodies `BodyGuard` leaves unread."""

router = APIRouter(prefix=_PATH, tags=["datasets"])

_FORMATS: Final = {
    "text/plain": Format.TEXT,
    "application/jsonl": Format.JSON_LINES,
    "application/x-ndjson": Format.JSON_LINES,
}
_TEXT: Final = "The first document,\nin two lines.\n\nThe second.\n"
_LINES: Final = '{"text": "The first document,\\nin two lines."}\n{"text": "The second."}\n'
_TEXT_SCHEMA: Final = {"type": "string", "pattern": r"^[^\x00]*[^\x00\s][^\x00]*$"}
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": f"UTF-8 text; lines, and documents in plain text, have at most {MAX_LINE_BYTES} bytes",
    "content": {
        media_type: {
            "schema": _TEXT_SCHEMA if form is Format.TEXT else {"type": "string", "format": "binary"},
            "example": _TEXT if form is Format.TEXT else _LINES,
        }
        for media_type, form in _FORMATS.items()
    },
}
_LOCATION: Final = {"headers": {"Location": {"schema": {"type": "string"}}}}
_UPLOAD_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": DatasetView, "description": "A data set with the same documents already exists: that data set", **_LOCATION},
    201: _LOCATION,
    **problem_responses(DatasetQuotaExceeded, ShareExceeded, *BODY_PROBLEMS, StoreUnavailable),
}

Name = Annotated[DisplayName, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]*$")]


@router.post(
    "",
    status_code=201,
    response_model=DatasetView,
    responses=_UPLOAD_RESPONSES,
    openapi_extra={"requestBody": _BODY},
)
async def upload_dataset(
    request: Request,
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    store: TheStore,
    uploads: TheUploads,
    response: Response,
    name: Annotated[Name | None, Query(description="display name; by default the id")] = None,
) -> DatasetView:
    """Upload text for calibration and evaluation.

    `text/plain`: documents are separated by blank lines. JSON Lines: one document per line, an object with a string `text`; other
    fields are dropped. The id is derived from the documents: uploading the same ones again returns the existing data set with its
    first name. Jobs refer to it as `ds-…` (calibration uses the first 90 %, evaluation the rest), `ds-…:train`, `ds-…:test` or
    `ds-…:all`.
    """
    form = _format_of(request)
    with uploads.hold(caller.tenant), Intake(form) as intake:
        async for piece in pieces(request, settings.max_dataset_bytes):
            await run_in_threadpool(intake.take, piece)
        kept = await run_in_threadpool(operations.keep, database, settings, store, intake, name=name, tenant=caller.tenant)
    response.status_code = 201 if kept.is_new else 200
    response.headers["Location"] = f"{_PATH}/{kept.dataset.id}"
    return _shown(kept)


@router.get("", response_model=DatasetPage)
def list_datasets(
    caller: JobReader,
    database: TheDatabase,
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> DatasetPage:
    """List all data sets: the built-in ones, then the tenant's uploads, newest first."""
    page = operations.list_all(database, cursor=cursor, limit=limit, tenant=caller.tenant)
    items = [_shown(each) for each in page.built_in] + [_shown(each) for each in page.uploads]
    return DatasetPage(items=items, next_cursor=page.next_cursor)


@router.get("/{dataset_id}", response_model=DatasetView, responses=problem_responses(NotFound))
def get_dataset(dataset_id: str, caller: JobReader, database: TheDatabase) -> DatasetView:
    """Return one data set, built-in or uploaded."""
    return _shown(operations.get(database, dataset_id, tenant=caller.tenant))


@router.delete("/{dataset_id}", status_code=204, responses=problem_responses(NotFound, Conflict))
def delete_dataset(dataset_id: str, caller: JobWriter, database: TheDatabase) -> None:
    """Delete an upload that no active job uses. Ended jobs keep its id; uploading the same text again restores it."""
    operations.delete(database, dataset_id, tenant=caller.tenant)


def _format_of(request: Request) -> Format:
    form = _FORMATS.get(media_type_of(request.headers))
    if form is None:
        raise UnsupportedMediaType(f"send the body as one of {', '.join(_FORMATS)}")
    content_type = Message()
    content_type["content-type"] = request.headers["content-type"]
    if content_type.get_content_charset("utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("the charset is not UTF-8; send the text as UTF-8")
    return form


def _shown(found: Dataset | Upload) -> DatasetView:
    if isinstance(found, Upload):
        return DatasetView.upload(found.dataset, found.used_by_jobs)
    return DatasetView.built_in(found)
