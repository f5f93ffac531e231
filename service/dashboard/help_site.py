"""Documentation site at /help, served if `make docs` built it before the process started."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from service.dashboard.rendering import HEADERS

FOLDER: Final = Path(__file__).parent.parent / "help_site"
_INLINE_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Serve the site if it exists; `app.state.has_help` records whether pages may link to it."""
    app.state.has_help = (FOLDER / "index.html").is_file()
    if app.state.has_help:
        app.add_route("/help", _to_index, include_in_schema=False)
        app.mount("/help", _Site(FOLDER))


async def _to_index(_request: Any) -> Response:
    return RedirectResponse("/help/", 308)


class _Site(StaticFiles):
    """Static files with the dashboard's headers. The policy also allows the site's inline styles, and inline scripts by hash."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)
        policy = HEADERS["Content-Security-Policy"].replace("script-src 'self'", f"script-src 'self' {_hashes(folder)}")
        policy = policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")  # the search box writes its own
        self._headers = HEADERS | {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    async def get_response(self, path: str, scope: Any) -> Response:
        """Return a file, a redirect to a folder, or the site's page for missing files."""
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        if "location" in response.headers:  # a folder; the framework names the host, which a proxy need not pass on
            response.headers["location"] = urlsplit(response.headers["location"]).path
        return response


def _hashes(folder: Path) -> str:
    scripts = {script for page in folder.rglob("*.html") for script in _INLINE_SCRIPT.findall(page.read_bytes())}
    return " ".join(sorted(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts))
