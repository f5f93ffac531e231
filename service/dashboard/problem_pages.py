"""Problems as pages for browsers; unauthenticated browsers are redirected to the sign-in page."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from service.dashboard.rendering import page
from service.web.authentication import Unauthenticated

_Answer = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Render the problems of all registered handlers as pages; call it after they are registered."""
    for error, answer in list(app.exception_handlers.items()):
        app.add_exception_handler(error, _as_page(answer))


def _as_page(answer: Any) -> _Answer:
    async def shown(request: Request, error: Exception) -> Response:
        return as_asked(request, await answer(request, error))

    return shown


def as_asked(request: Request, problem: Response) -> Response:
    """Return the problem as a page if the request prefers HTML; else unchanged."""
    if not wants_page(request):
        return problem
    if problem.status_code == Unauthenticated.status:
        return RedirectResponse(_sign_in_for(request), 303)
    kept = {name: value for name, value in problem.headers.items() if name in ("retry-after", "allow", "connection")}
    document = {"errors": None} | json.loads(bytes(problem.body))
    return page(request, "problem.html", status=problem.status_code, headers=kept, problem=document)


def wants_page(request: Request) -> bool:
    """Return whether the request accepts HTML and is outside the API, which always answers with problem documents."""
    is_api = request.url.path.startswith("/v1/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _sign_in_for(request: Request) -> str:
    """Return the URL of the sign-in page, with the return URL of a GET request."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/sign-in?{urlencode({'next': here})}" if request.method == "GET" and here != "/" else "/sign-in"
