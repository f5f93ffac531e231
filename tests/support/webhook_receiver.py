"""A receiver of webhooks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Event, Thread

from tests.support.http_server import QuietServer
from tests.support.waiting import CEILING_SECONDS


@dataclass(frozen=True)
class Got:
    """One request."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Sink:
    """Answers `status`; while it is `held`, nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.got: list[Got] = []
        self.status = 200
        self.more_headers: dict[str, str] = {}
        self.free = Event()
        self.free.set()

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.got]


@contextmanager
def receiving(port: int = 0) -> Iterator[Sink]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            sink.got.append(Got(headers, body, time.monotonic()))
            sink.free.wait(CEILING_SECONDS)
            self.send_response(sink.status)
            for name, value in {"Content-Length": "0", **sink.more_headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with QuietServer(("127.0.0.1", port), Handler) as server:
        sink = Sink(server.server_port)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield sink
        sink.free.set()
        server.shutdown()
        thread.join()
