"""Streamed request bodies, read in pieces so that they need not fit in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import MalformedBody, Problem, UnsupportedMediaType
from service.web.request_body import declared_bytes, too_large

_SILENCE_SECONDS: Final = 30.0
"""Read timeout: the caller counts as gone, even if the connection is open."""
_PIECE: Final = 512 * 1024  # bytes: large enough to amortise a thread switch


class RequestTimeout(Problem):
    """Problem 408: the body stalled."""

    status, type, title = 408, "request-timeout", "Request timeout"


async def pieces(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces of slightly more than half a megabyte, as it arrives.

    With `Expect: 100-continue`, the server sends the interim response when the first piece is requested.

    Raises:
        BodyTooLarge: the declared or received length exceeds the limit; the rest is not read.
        UnsupportedMediaType: the body is compressed, which would make its length unknown.
        RequestTimeout: no data arrives.
        MalformedBody: the client disconnected before the end.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not accepted; send the body without Content-Encoding")
    if declared_bytes(request.headers) > max_bytes:
        raise too_large(max_bytes)
    arriving, piece, total = request.stream(), bytearray(), 0
    while chunk := await _next(arriving):
        total += len(chunk)
        if total > max_bytes:
            raise too_large(max_bytes, hang_up=False)  # while the caller is sending, a reset would reach it before the response
        piece += chunk
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _next(arriving: AsyncIterator[bytes]) -> bytes:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(arriving, b"")
    except TimeoutError:
        detail = f"no data received for {_SILENCE_SECONDS:.0f} s; send the request again"
        raise RequestTimeout(detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise MalformedBody("the body is incomplete; send the request again") from None
