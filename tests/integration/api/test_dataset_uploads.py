"""The bodies of uploads: too long, of the wrong kind, slow, broken off; what they leave is nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from service.web import streamed_body as streams
from tests.support.api_server import client, key_for, problem, serving
from tests.support.dataset_uploads import LINES, TEXT, rows, stored, upload
from tests.support.waiting import CEILING_SECONDS, eventually


@pytest.mark.parametrize(
    ("headers", "content", "query", "expected"),
    [
        ({}, b"a", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": "application/json"}, b"{}", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": "text/plain; charset=latin-1"}, b"a", "", (415, "unsupported-media-type", [])),
        (TEXT | {"Content-Encoding": "gzip"}, b"\x1f\x8b", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": 'text/plain; format=flowed; charset="UTF-16"'}, b"a", "", (415, "unsupported-media-type", [])),
        (TEXT, b"", "", (422, "invalid-input", [""])),
        (TEXT, b"one\n\xff", "", (422, "invalid-input", [""])),
        (LINES, b'{"text": "a"}\n{"txt": "b"}\n', "", (422, "invalid-input", [""])),
        (TEXT, b"a", "?nmae=x", (422, "invalid-input", ["nmae"])),
        (TEXT, b"a", "?name=", (422, "invalid-input", ["name"])),
        (TEXT, b"a", f"?name={'x' * 65}", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%0Ab", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%00", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%E2%80%AEb", (422, "invalid-input", ["name"])),
    ],
    ids=[
        *("no media type", "json", "latin-1", "gzip", "utf-16", "empty", "invalid UTF-8", "no text"),
        *("unknown parameter", "empty name", "long name", "newline", "NUL", "bidirectional override"),
    ],
)
def test_an_invalid_upload_is_refused_and_leaves_nothing(
    api: httpx.Client,
    settings: Settings,
    database: Database,
    headers: dict[str, str],
    content: bytes,
    query: str,
    expected: tuple[int, str, list[str]],
) -> None:
    assert problem(api.post(f"/v1/datasets{query}", content=content, headers=headers)) == expected
    assert (rows(database), stored(settings)) == ([], [])


@pytest.fixture
def small(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A service that takes uploads of a million bytes, and little of them together."""
    limits = {"max_dataset_bytes": 1_000_000, "max_datasets_bytes": 1_500_000}
    with serving(settings.model_copy(update=limits)) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def test_a_long_body_is_refused_with_and_without_content_length(small: httpx.Client, settings: Settings) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"word " * 20_000 + b"\n\n"

    for body in (b"x\n\n" * 400_000, endless()):
        assert problem(small.post("/v1/datasets", content=body, headers=TEXT))[:2] == (413, "body-too-large")
    assert stored(settings) == []
    upload(small, "x" * 999_000)


def test_bodies_of_other_routes_keep_the_smaller_limit(api: httpx.Client) -> None:
    for path in ("/v1/jobs", "/v1/datasets/", "/v1/datasets/ds-0123456789abcdef"):
        answer = api.post(path, content=b"x" * 70_000, headers=TEXT)
        assert problem(answer)[:2] == (413, "body-too-large")


@contextmanager
def connection(api: httpx.Client, *headers: str) -> Iterator[socket.socket]:
    """An upload that has been begun by hand."""
    head = ["POST /v1/datasets HTTP/1.1", "Host: x", f"Authorization: {api.headers['authorization']}", "Content-Type: text/plain"]
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=CEILING_SECONDS) as opened:
        opened.sendall("\r\n".join([*head, *headers, "", ""]).encode())
        yield opened


def test_expect_100_continue_is_answered_before_the_body(small: httpx.Client) -> None:
    with connection(small, "Content-Length: 4", "Expect: 100-continue") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
        opened.sendall(b"word")
        assert opened.recv(100).startswith(b"HTTP/1.1 201 ")
    with connection(small, "Content-Length: 1000001", "Expect: 100-continue") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 413 ")
    with connection(small, "Content-Length: 4", "Expect: 100-continue", "Content-Encoding: br") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 415 ")


def test_a_client_that_disconnects_leaves_nothing(api: httpx.Client, settings: Settings, database: Database) -> None:
    for _ in range(3):
        with connection(api, "Content-Length: 1000000") as opened:
            opened.sendall(b"word\n" * 100_000)
    with connection(api, "Transfer-Encoding: chunked") as opened:
        opened.sendall(b"4\r\nword\r\n")
    assert upload(api)["documents"] == 2
    assert len(rows(database)) == len(stored(settings)) == 1


def test_a_tenant_s_slow_uploads_leave_room_for_others(settings: Settings, database: Database) -> None:
    slow = ("Content-Length: 8", "Expect: 100-continue")
    with serving(settings.model_copy(update={"max_uploads": 3})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        with connection(api, *slow) as first, connection(api, *slow) as second:
            assert [opened.recv(100)[:13] for opened in (first, second)] == [b"HTTP/1.1 100 "] * 2
            answer = api.post("/v1/datasets", content=b"a", headers=TEXT)
            assert problem(answer)[:2] == (429, "share-exceeded")
            assert answer.headers["retry-after"]
            with client(url, key_for(database, Scope.ADMIN, tenant="other")) as stranger:
                upload(stranger, "a")
        eventually(lambda: api.post("/v1/datasets", content=b"a", headers=TEXT).status_code == 201)


def test_a_silent_client_times_out(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_SILENCE_SECONDS", 0.2)
    with connection(api, "Content-Length: 10") as opened:
        opened.sendall(b"word")
        assert opened.recv(100).startswith(b"HTTP/1.1 408 ")


def test_the_total_size_of_a_tenants_data_sets_is_limited(small: httpx.Client, database: Database, settings: Settings) -> None:
    first = upload(small, "a" * 900_000)
    answer = small.post("/v1/datasets", content=b"b" * 900_000, headers=TEXT)
    assert problem(answer)[:2] == (409, "dataset-quota-exceeded")
    assert upload(small, "a" * 900_000) == first
    assert len(stored(settings)) == 1
    with client(str(small.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        upload(stranger, "b" * 900_000)
    small.delete(f"/v1/datasets/{first['id']}")
    upload(small, "b" * 900_000)


def test_a_store_outage_is_reported_and_writes_no_row(settings: Settings, database: Database) -> None:
    store = Path(settings.artifact_url.removeprefix("file://"))
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        store.rmdir()
        store.write_bytes(b"no folder")
        assert problem(api.post("/v1/datasets", content=b"a", headers=TEXT))[:2] == (503, "unavailable")
        store.unlink()
        store.mkdir()
    assert rows(database) == []
