"""Request log: one line per request, with a request id that callers may set; last handler of uncaught exceptions."""

import re
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from service.logging import get_logger
from service.web.problem_responses import Internal, render

log = get_logger(__name__)
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PROBES: Final = ("/livez", "/readyz", "/metrics")


class RequestLog:
    """ASGI middleware, outermost of the service's own.

    Args:
        as_asked: renders a problem as the client accepts it: as a document or a page.
    """

    def __init__(self, app: ASGIApp, as_asked: Callable[[Request, Response], Response]) -> None:
        self._app, self._as_asked = app, as_asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Assign the request id and log the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _PLAIN_ID.fullmatch(given) else uuid4().hex
        with bound_contextvars(request_id=request_id):
            await self._answer(scope, receive, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request_failed")
            if status:
                raise
            problem = Internal(f"the error was logged under the request id {request_id}")
            request = Request(scope)
            await self._as_asked(request, render(problem, request))(scope, receive, send_with_id)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            write = log.debug if scope["path"] in _PROBES else log.info
            write(
                "request", method=scope["method"], path=scope["path"], status=status, milliseconds=milliseconds, **_caller(scope)
            )


def _caller(scope: Scope) -> dict[str, Any]:
    """Return tenant and key for the log, if the request was authenticated."""
    caller = scope.get("state", {}).get("caller")
    return {"tenant": caller.tenant, "key": caller.key_id} if caller else {}
