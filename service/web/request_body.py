"""Request bodies: size limit, deadline and strict JSON validation before routing.

Routes with large bodies or bodies other than JSON read them as streams: `service.web.streamed_body`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import MalformedBody, Problem, UnsupportedMediaType
from service.kit.strict_json import check, parse
from service.web.problem_responses import render

BODY_SECONDS: Final = 60.0
"""Deadline of a small body, which is read before the caller is authenticated."""
_DROPPED_BYTES: Final = 64 << 20
"""Bound on the rest of a body that is too large."""


class BodyTooLarge(Problem):
    """Problem 413: the body exceeds the size limit."""

    status, type, title = 413, "body-too-large", "Content too large"


class RequestTimeout(Problem):
    """Problem 408: the body stalled."""

    status, type, title = 408, "request-timeout", "Request timeout"


BODY_PROBLEMS: Final = (MalformedBody, BodyTooLarge, UnsupportedMediaType, RequestTimeout)
"""Problems of every route with a body."""


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
            body = await self._read(Request(scope, receive))
            if body:
                _check_media_type(headers)
                check(parse(body))
        except Problem as problem:
            await render(problem, Request(scope))(scope, receive, send)
        except ClientDisconnect:
            pass
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, request: Request) -> bytes:
        check_encoding(request.headers)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return b"".join([chunk async for chunk in bounded(request.headers, request.stream(), self._max_bytes)])
        except TimeoutError:
            raise stalled(f"the body did not arrive within {BODY_SECONDS:.0f} s; send the request again") from None


async def bounded(headers: Headers, arriving: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the chunks of a body.

    Raises:
        BodyTooLarge: the declared or received length exceeds the limit. The rest has been read and dropped, up to a bound,
            because a client or proxy that is still sending loses the response when the connection is closed.
    """
    declared = headers.get("content-length", "0")
    total, is_long = 0, declared.isdecimal() and int(declared) > max_bytes
    if is_long and headers.get("expect", "").lower() == "100-continue":
        raise _too_large(max_bytes, hang_up=True)  # the client waits, and sends nothing after this response
    async for chunk in arriving:
        total += len(chunk)
        is_long = is_long or total > max_bytes
        if not is_long:
            yield chunk
        elif total > max_bytes + _DROPPED_BYTES:
            raise _too_large(max_bytes, hang_up=True)
    if is_long:
        raise _too_large(max_bytes, hang_up=False)


def _too_large(max_bytes: int, *, hang_up: bool) -> BodyTooLarge:
    headers = {"Connection": "close"} if hang_up else {}
    return BodyTooLarge(f"the body exceeds the limit of {max_bytes} bytes", headers=headers)


def stalled(detail: str) -> RequestTimeout:
    """Return the problem; the connection is closed."""
    return RequestTimeout(detail, headers={"Connection": "close"})


def check_encoding(headers: Headers) -> None:
    """Raise UnsupportedMediaType for a compressed body, whose length would be unknown."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not accepted; send the body without Content-Encoding")


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
