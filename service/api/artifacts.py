"""Routes of artifacts: manifest, and files or redirects to presigned URLs."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from service.artifacts import operations
from service.artifacts.operations import Download
from service.contract.artifacts import Manifest
from service.errors import NotFound, Unavailable
from service.web.authentication import ArtifactReader
from service.web.byte_ranges import RangeNotSatisfiable, usable_range
from service.web.dependencies import TheDatabase, TheSettings, TheStore
from service.web.problem_responses import problem_responses

router = APIRouter(prefix="/v1/jobs", tags=["artifacts"], responses=problem_responses(NotFound, Unavailable))

_BYTES: Final = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file, if the service stores it locally", **_BYTES},
    206: {"description": "The requested `Range` of the file", **_BYTES},
    304: {"description": "Not modified (`If-None-Match`)"},
    307: {"description": "Redirect to a presigned URL, valid for a few minutes without credentials"},
    **problem_responses(RangeNotSatisfiable),
}


@router.get("/{job_id}/artifacts", response_model=Manifest)
def read_manifest(job_id: UUID, caller: ArtifactReader, database: TheDatabase, store: TheStore) -> Manifest:
    """List the files of the job's artifact, with sizes and SHA-256."""
    return operations.artifact_of(database, store, job_id, tenant=caller.tenant).manifest


@router.head("/{job_id}/artifacts/{path:path}", include_in_schema=False)
@router.get("/{job_id}/artifacts/{path:path}", response_class=Response, responses=_FILE)
def download(
    job_id: UUID,
    path: str,
    request: Request,
    caller: ArtifactReader,
    settings: TheSettings,
    database: TheDatabase,
    store: TheStore,
    range: Annotated[str | None, Header(description="`bytes=first-last`")] = None,  # noqa: A002  # the header's name
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Download one file. Its `ETag` is its SHA-256, with a suffix if the file was changed after its publication."""
    found = operations.locate(
        database,
        store,
        job_id,
        path,
        tenant=caller.tenant,
        method=request.method,
        presign_seconds=settings.presign_seconds,
    )
    if found.url is not None:
        return RedirectResponse(found.url, 307, headers={"Cache-Control": "no-store"})
    if range is not None and not usable_range(range, found.file.bytes):
        request.scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    return _from_disk(found, if_none_match)


def _from_disk(found: Download, known: str | None) -> Response:
    assert found.path is not None
    etag = f'"{found.file.sha256}{found.changed}"'
    headers = {"ETag": etag, "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
    if known is not None and any(tag.strip().removeprefix("W/") in ("*", etag) for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    name = found.file.path.rpartition("/")[2]
    return FileResponse(found.path, headers=headers, media_type="application/octet-stream", filename=name)
