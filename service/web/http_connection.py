"""HTTP/1.1 connections of the server, with a deadline for the head of a request."""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS: Final = 30.0
"""Deadline from a connection's first moment, or from the first byte of a later request, to the end of the request's head."""


class HttpConnection(H11Protocol):
    """Connection that is closed if a request's head does not arrive in time; idle ones are bounded by the server's keep-alive."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Stop the deadline when a head is complete; start it with the first bytes of the next one."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
