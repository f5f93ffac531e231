"""Bodies that a route reads itself, a piece at a time, so that the whole is never in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import MalformedBody, Problem, Unavailable, UnsupportedMediaType
from service.web.request_body import declared_bytes, too_large

_SILENCE_SECONDS: Final = 30.0
"""A caller who sends nothing for so long has gone, even if the connection has not."""
_PIECE: Final = 512 * 1024  # bytes: so much at a time is worth a change of threads


class RequestTimeout(Problem):
    status, type, title = 408, "request-timeout", "The body did not come"


class ConcurrencyLimit:
    """Maximum number of concurrent uploads, because each takes space on the disk. Not thread-safe."""

    def __init__(self, maximum: int) -> None:
        self._free = maximum

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Raises Unavailable at the limit."""
        if not self._free:
            raise Unavailable("too many uploads are under way; try again shortly")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def pieces(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives, in pieces of half a megabyte or a little more.

    A caller who waits to be told to go on (`Expect: 100-continue`) is told so when the first piece is asked for.

    Raises:
        BodyTooLarge: it is longer, by what the caller says or by what has come; the rest is not read.
        UnsupportedMediaType: it is compressed, which would make its length unknown.
        RequestTimeout: nothing comes any more.
        MalformedBody: the caller has left before the end.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("send the body as it is, without Content-Encoding")
    if declared_bytes(request.headers) > max_bytes:
        raise too_large(max_bytes)
    arriving, piece, total = request.stream(), bytearray(), 0
    while chunk := await _next(arriving):
        total += len(chunk)
        if total > max_bytes:
            raise too_large(
                max_bytes, hang_up=False
            )  # in the middle of sending, a reset would reach the caller before the answer
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
        detail = f"nothing has come for {_SILENCE_SECONDS:.0f} s; send the body again"
        raise RequestTimeout(detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise MalformedBody("the body ended before it was complete") from None
