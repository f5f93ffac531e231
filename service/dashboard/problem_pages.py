"""Problems as pages, for browsers; and whoever has not signed in is led to the page where they can."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from service.dashboard.rendering import page
from service.keys.authentication import Unauthenticated

_Answer = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """To be called once all handlers of problems are there: their answers are what the pages show."""
    for error, answer in list(app.exception_handlers.items()):
        app.add_exception_handler(error, _as_page(answer))


def _as_page(answer: Any) -> _Answer:
    async def shown(request: Request, error: Exception) -> Response:
        response: Response = await answer(request, error)
        if not wants_page(request):
            return response
        if response.status_code == Unauthenticated.status:
            return RedirectResponse(_sign_in_for(request), 303)
        kept = {name: value for name, value in response.headers.items() if name in ("retry-after", "allow")}
        problem = {"errors": None} | json.loads(bytes(response.body))
        return page(request, "problem.html", status=response.status_code, headers=kept, problem=problem)

    return shown


def wants_page(request: Request) -> bool:
    """Whether a browser asks, and not for something of the API, whose problems are always problem documents."""
    is_api = request.url.path.startswith("/v1/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _sign_in_for(request: Request) -> str:
    """With the way back, for what was only looked at."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/sign-in?{urlencode({'next': here})}" if request.method == "GET" and here != "/" else "/sign-in"
