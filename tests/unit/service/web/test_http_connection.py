"""Connections of the server that runs in production, with a request's head that does not arrive."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from service import __main__ as entry
from service.web import http_connection
from service.web.http_connection import HttpConnection
from tests.support.waiting import CEILING_SECONDS, eventually

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server whose application answers 204."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http=HttpConnection, lifespan="off"))
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),), daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(CEILING_SECONDS)


@pytest.mark.parametrize("before", [b"", HEAD], ids=["first request", "second request"])
def test_a_head_that_does_not_arrive_ends_the_connection(port: int, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "_HEAD_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", port), timeout=CEILING_SECONDS) as caller:
        if before:
            caller.sendall(before)
            assert caller.recv(1000).startswith(b"HTTP/1.1 204")
        caller.sendall(HEAD[:9])
        assert caller.recv(1000) == b""


def test_an_idle_connection_outlives_the_deadline_of_a_head(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=CEILING_SECONDS) as caller:
        for _ in range(3):
            caller.sendall(HEAD)
            assert caller.recv(1000).startswith(b"HTTP/1.1 204")
            monkeypatch.setattr(http_connection, "_HEAD_SECONDS", 0.01)
            time.sleep(0.05)


def test_idle_connections_are_kept_longer_than_proxies_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(sys.modules["uvicorn.main"], "run", lambda app, **options: given.update(options, app=app))
    monkeypatch.setattr("sys.argv", ["service", "--port", "1"])
    with pytest.raises(SystemExit):
        entry.main()
    assert (given["timeout_keep_alive"], given["proxy_headers"], given["port"]) == (75, False, 1)
