"""Errors of the store's real client, provoked by servers that refuse, fail and stay silent: each becomes a sentence of ours."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, S3Store

from service.embedded.processes import free_port
from service.storage.reasons import reason_of
from tests.support.tls import encrypted

WORDS = "words-of-the-server"


def answering(status: int, code: str, given: BaseHTTPRequestHandler) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{WORDS}</Message></Error>".encode()
    given.send_response(status)
    given.send_header("Content-Length", str(len(body)))
    given.end_headers()
    given.wfile.write(body)


@contextmanager
def server(status: int = 200, code: str = "") -> Iterator[int]:
    answer = partial(answering, status, code)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            answer(self)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield listening.server_port
    listening.shutdown()
    listening.server_close()


def reasons(endpoint: str) -> set[str]:
    """The reasons why a write and a listing fail."""
    client: Any = {"connect_timeout": "1s", "timeout": "0.5s", "allow_http": True}
    retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    credentials: Any = {"access_key_id": "key", "secret_access_key": "s3cret", "region": "us-east-1"}
    store = S3Store("bucket", endpoint=endpoint, client_options=client, retry_config=retries, **credentials)
    found = set()
    for act in (lambda: obstore.put(store, "jobs/x", b"x"), lambda: list(obstore.list(store, prefix="jobs"))):
        with pytest.raises((obstore.exceptions.BaseError, OSError)) as raised:
            act()
        found.add(reason_of(raised.value))
    assert not any(word in reason for reason in found for word in (WORDS, "127.0.0.1", "s3cret", "Generic", "reqwest"))
    return found


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "", "refuses the credentials"),
        (403, "SignatureDoesNotMatch", "refuses the credentials"),
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "denies the request"),
        (404, "NoSuchBucket", "the bucket does not exist"),
        (301, "PermanentRedirect", "another region"),
        (400, "InvalidRequest", "refuses the request"),
        (507, "InsufficientStorage", "the store is full"),
        (500, "InternalError", "an error of its own"),
    ],
)
def test_an_answer_of_the_store_has_a_reason(status: int, code: str, words: str) -> None:
    with server(status, code) as port:
        (reason,) = reasons(f"http://127.0.0.1:{port}")
    assert words in reason


def test_a_failed_connection_has_a_reason(tmp_path: Path) -> None:
    assert reasons(f"http://127.0.0.1:{free_port()}") == {"nothing accepts connections at the endpoint"}
    assert reasons("http://nowhere.invalid") == {"the host name of the endpoint cannot be resolved"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert reasons(f"http://127.0.0.1:{silent.getsockname()[1]}") == {"there was no answer in time"}
    with server() as port:
        (reason,) = reasons(f"https://127.0.0.1:{port}")
        assert "TLS" in reason
    with server() as port, encrypted(port, tmp_path) as (with_tls, _):
        (reason,) = reasons(f"https://127.0.0.1:{with_tls}")
        assert "certificate is not trusted" in reason


def test_errors_of_a_folder_are_those_of_the_operating_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path)
    with pytest.raises((obstore.exceptions.BaseError, OSError)) as raised:
        obstore.put(store, "file/below", b"x")
    assert reason_of(raised.value) == "Not a directory"
    with pytest.raises(FileNotFoundError) as missing:
        obstore.get(store, "absent")
    assert str(tmp_path) not in reason_of(missing.value)
