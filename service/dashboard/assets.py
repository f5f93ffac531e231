"""Style sheets, scripts and pictures of the pages, under addresses that name their content, so that browsers may keep them."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.errors import NotFound

router: Final = APIRouter(prefix="/static", include_in_schema=False)

_FOLDER: Final = Path(__file__).parent / "static"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@cache
def _files() -> dict[str, Path]:
    return {path.name: path for path in sorted(_FOLDER.iterdir()) if path.suffix in (".css", ".js", ".svg")}


@cache
def version() -> str:
    """Of all files together: scripts import each other by relative addresses, which then lead to the same version."""
    content = hashlib.sha256()
    for name, path in _files().items():
        content.update(name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


def address(name: str) -> str:
    assert name in _files(), name
    return f"/static/{version()}/{name}"


@router.api_route("/{wanted}/{name}", methods=["GET", "HEAD"])
def read_asset(wanted: str, name: str) -> FileResponse:
    """A page of another version of the service, during a deployment, gets the file as it is here, to be asked for again."""
    path = _files().get(name)
    if path is None:
        raise NotFound(f"there is no file {name}")
    headers = {
        "Cache-Control": _FOR_EVER if wanted == version() else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    media_type = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return FileResponse(path, headers=headers, media_type=media_type)
