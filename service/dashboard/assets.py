"""Style sheets, scripts and images, served under content-hashed URLs so that browsers may cache them."""

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
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


@cache
def _files() -> dict[str, Path]:
    return {path.name: path for path in sorted(_FOLDER.iterdir()) if path.suffix in (".css", ".js", ".svg")}


@cache
def version() -> str:
    """Return the hash of all files together, because scripts import each other by relative URLs."""
    content = hashlib.sha256()
    for name, path in _files().items():
        content.update(name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


def address(name: str) -> str:
    """Return the versioned URL of a file."""
    assert name in _files(), name
    return f"/static/{version()}/{name}"


@router.api_route("/{wanted}/{name}", methods=["GET", "HEAD"])
def read_asset(wanted: str, name: str) -> FileResponse:
    """Return a file. A URL of another version, requested during a deployment, gets the current file without caching."""
    path = _files().get(name)
    if path is None:
        raise NotFound(f"there is no file {name}")
    headers = {
        "Cache-Control": _IMMUTABLE if wanted == version() else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    media_type = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return FileResponse(path, headers=headers, media_type=media_type)
