"""Bodies before routing: too large, too slow, compressed; in process, with a client that counts what is taken from it."""

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from service.web import request_body
from service.web.request_body import BodyGuard

Sent = list[dict[str, Any]]


def served(chunks: Iterator[bytes], **headers: str) -> tuple[Sent, int]:
    """What the guard sends for a body, and how many chunks it leaves unread."""
    sent: Sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        chunk = next(chunks, None)
        if chunk == b"silence":
            await anyio.sleep_forever()
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    anyio.run(BodyGuard(app, max_bytes=10), scope, receive, send)
    return sent, len(list(chunks))


def answer(sent: Sent) -> tuple[int, str, bool]:
    """Status, detail, and whether the connection is closed."""
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"], (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("headers", [{"content_length": "30"}, {"transfer_encoding": "chunked"}])
def test_the_rest_of_a_body_that_is_too_large_is_read_before_the_response(headers: dict[str, str]) -> None:
    sent, unread = served(iter([b"x" * 10] * 3), **headers)
    assert (answer(sent), unread) == ((413, "the body exceeds the limit of 10 bytes", False), 0)


def test_a_body_without_end_is_dropped_up_to_a_bound_and_the_connection_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_DROPPED_BYTES", 40)
    sent, unread = served(iter([b"x" * 10] * 9), content_length="90")
    assert (answer(sent)[0], answer(sent)[2], unread) == (413, True, 3)


def test_a_client_that_waits_for_100_continue_sends_no_body_in_vain() -> None:
    sent, unread = served(iter([b"x" * 10] * 3), content_length="30", expect="100-continue")
    assert (answer(sent)[0], answer(sent)[2], unread) == (413, True, 3)


def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.05)
    sent, _ = served(iter([b"{", b"silence"]), content_length="9")
    assert (answer(sent)[0], answer(sent)[2]) == (408, True)


def test_a_compressed_body_is_refused_by_its_header() -> None:
    sent, _ = served(iter([b"\x1f\x8b"]), content_length="2", content_encoding="gzip", content_type="application/json")
    assert answer(sent)[:2] == (415, "compressed bodies are not accepted; send the body without Content-Encoding")
