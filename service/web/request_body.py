"""Request bodies: bounded, JSON, and such that nothing in them can upset what comes after.

What a route takes that is no JSON, and may be large, it reads as it arrives: `service.web.streamed_body`.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Problem, UnsupportedMediaType
from service.kit.strict_json import check, parse
from service.web.problem_responses import render


class BodyTooLarge(Problem):
    status, type, title = 413, "body-too-large", "The body is too large"


class _Disconnected(Exception):
    """The client left before its body was complete."""


class BodyGuard:
    """ASGI middleware: reads each body whole, refuses what is too long or no plain JSON, and hands it on in one piece.

    Args:
        max_bytes: of a body that is read here.
        streamed: the paths whose routes read their bodies themselves, or take none.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Collection[str] = ()) -> None:
        self._app, self._max_bytes, self._streamed = app, max_bytes, frozenset(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
    """How long the body is, if the caller says so; else 0."""
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


def too_large(max_bytes: int, *, hang_up: bool = True) -> BodyTooLarge:
    headers = {"Connection": "close"} if hang_up else {}
    return BodyTooLarge(f"at most {max_bytes} bytes are accepted", headers=headers)


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
    return headers.get("content-type", "").partition(";")[0].strip().lower()
