"""Request bodies: size limit and strict JSON validation before routing.

Routes with large bodies or bodies other than JSON read them as streams: `service.web.streamed_body`.
"""

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import MalformedBody, Problem, UnsupportedMediaType
from service.kit.strict_json import check, parse
from service.web.problem_responses import render


class BodyTooLarge(Problem):
    """Problem 413: the body exceeds the size limit."""

    status, type, title = 413, "body-too-large", "Content too large"


BODY_PROBLEMS: Final = (MalformedBody, BodyTooLarge, UnsupportedMediaType)
"""Problems of every route with a body."""


class _Disconnected(Exception):
    """The client disconnected before the body was complete."""


class BodyGuard:
    """ASGI middleware that reads each body completely, rejects long or invalid JSON, and passes it on in one message.

    Args:
        max_bytes: size limit of a body.
        streamed: paths whose routes read their bodies themselves, or have none.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Collection[str] = ()) -> None:
        self._app, self._max_bytes, self._streamed = app, max_bytes, frozenset(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Validate the body, then call the application."""
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        is_ours = headers is not None and scope["path"] not in self._streamed
        if headers is None or not is_ours or not ("content-length" in headers or "transfer-encoding" in headers):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(headers, receive)
            if body:
                _check_media_type(headers)
                check(parse(body))
        except Problem as problem:
            await render(problem)(scope, receive, send)
        except _Disconnected:
            pass
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        if declared_bytes(headers) > self._max_bytes:
            raise too_large(self._max_bytes)
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise _Disconnected
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                raise too_large(self._max_bytes)
        return bytes(body)


def declared_bytes(headers: Headers) -> int:
    """Return the declared `Content-Length`; 0 without one."""
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


def too_large(max_bytes: int, *, hang_up: bool = True) -> BodyTooLarge:
    """Return the problem; `hang_up` closes the connection, so that the rest need not be read."""
    headers = {"Connection": "close"} if hang_up else {}
    return BodyTooLarge(f"the body exceeds the limit of {max_bytes} bytes", headers=headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _check_media_type(headers: Headers) -> None:
    media_type = media_type_of(headers)
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType("send the body as application/json")


def media_type_of(headers: Headers) -> str:
    """Return the media type without parameters, in lower case."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
