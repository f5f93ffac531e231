"""An HTTP proxy in front of a store, which gets in the way as a test wants it to.

The `Host` header goes through as it is, so that signatures made for the proxy's address are right at the server behind it.
"""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

from tests.support.http_server import QuietServer
from tests.support.waiting import CEILING_SECONDS

SLOW_SECONDS = 0.2


class Fault(StrEnum):
    ERROR = "500 instead of an answer"
    DENIED = "403 instead of an answer"
    MISSING = "501 instead of an answer"
    BUSY = "503 instead of an answer"
    SLOW = "an answer that takes its time"
    HANG = "no answer at all"
    CUT_REQUEST = "the connection is reset in the middle of the request"
    CUT_ANSWER = "the store has done it, but the connection is reset instead of an answer"
    TRUNCATE = "half of the answer's body, then the connection ends"
    SHORTEN = "half of the answer's body as if it were the whole"


_STATUS: Final = {Fault.ERROR: 500, Fault.BUSY: 503, Fault.DENIED: 403, Fault.MISSING: 501}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    number: int
    """Of all requests, from 1."""


Plan = Callable[[Request], Fault | None]


@dataclass
class FaultProxy:
    """`plan` says what is done to each request; `seen` are those that came."""

    address: str
    plan: Plan = lambda _: None
    seen: list[Request] = field(default_factory=list)
    hit: int = 0
    """How many requests a fault has met."""


@contextmanager
def in_front_of(endpoint: str) -> Iterator[FaultProxy]:
    """A proxy before the server at this address."""
    upstream, lock, stopping = urlsplit(endpoint).netloc, threading.Lock(), threading.Event()

    class Handler(_Handler):
        def answer(self) -> None:
            with lock:
                request = Request(self.command, self.path, dict(self.headers.items()), len(proxy.seen) + 1)
                proxy.seen.append(request)
                fault = proxy.plan(request)
                proxy.hit += fault is not None
            self.carry(upstream, fault, stopping)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    server = QuietServer(("127.0.0.1", 0), Handler)
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def carry(self, upstream: str, fault: Fault | None, stopping: threading.Event) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if fault is Fault.CUT_REQUEST:
            self.rfile.read(length // 2)
            return self._reset()
        body = self.rfile.read(length)
        if fault in _STATUS:
            return self._send(_STATUS[fault], [], b"<Error><Code>InternalError</Code></Error>")
        if fault is Fault.HANG:
            stopping.wait(CEILING_SECONDS)
            return self._reset()
        if fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
        status, headers, content = self._ask(upstream, body)
        if fault is Fault.CUT_ANSWER:
            return self._reset()
        if fault is Fault.SHORTEN:
            content = content[: len(content) // 2]
        if fault is Fault.TRUNCATE and len(content) > 1:
            self._send(status, headers, content[: len(content) // 2], claimed=len(content))
            return self._reset()
        return self._send(status, headers, content)

    def _ask(self, upstream: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(upstream, timeout=CEILING_SECONDS)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, claimed: int | None = None) -> None:
        self.send_response_only(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"] if self.command == "HEAD" else []
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", lengths[0] if lengths else str(len(content) if claimed is None else claimed))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
