"""Streamed request bodies, read in pieces so that they need not fit in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import MalformedBody
from service.web.request_body import bounded, check_encoding, stalled

_SILENCE_SECONDS: Final = 30.0
"""Read timeout: the caller counts as gone, even if the connection is open."""
_PIECE: Final = 512 * 1024  # bytes: large enough to amortise a thread switch


async def pieces(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces of slightly more than half a megabyte, as it arrives.

    With `Expect: 100-continue`, the server sends the interim response when the first piece is requested.

    Raises:
        BodyTooLarge: the declared or received length exceeds the limit.
        UnsupportedMediaType: the body is compressed.
        RequestTimeout: no data arrives.
        MalformedBody: the client disconnected before the end.
    """
    check_encoding(request.headers)
    piece = bytearray()
    async for chunk in bounded(request.headers, _arriving(request), max_bytes):
        piece += chunk
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                chunk = await anext(stream, b"")
        except TimeoutError:
            raise stalled(f"no data received for {_SILENCE_SECONDS:.0f} s; send the request again") from None
        except ClientDisconnect:
            raise MalformedBody("the body is incomplete; send the request again") from None
        if not chunk:
            return
        yield chunk
