"""Calls of the client: problems become errors, what passes is waited for, pages are joined."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from service.client import ApiError, Client, NotConfigured, Unreachable
from service.contract.states import JobState
from tests.support.client_kinds import KINDS, client_on

_JOB = {
    "id": "11111111-2222-3333-4444-555555555555",
    "state": "queued",
    "spec": {"model": {"source": "hub", "id": "org/model"}},
    "created_at": "2026-01-31T12:00:00Z",
    "something_new": 1,
}
_PROBLEM = {
    "type": "/errors#invalid-input",
    "code": "invalid-input",
    "title": "Validation failed",
    "status": 422,
    "detail": "/recipe/pattern/sparsity: Input should be less than 1",
    "errors": [{"pointer": "/recipe/pattern/sparsity", "detail": "Input should be less than 1"}],
}


Made = tuple[Client, list[httpx.Request]]


@pytest.fixture(params=KINDS)
def client_of(request: pytest.FixtureRequest) -> Callable[..., Made]:
    return partial(_client_of, request.param)


def _client_of(kind: str, *answers: httpx.Response | Exception, patience: float = 2) -> Made:
    """A client whose requests are answered in turn, and the list of them."""
    seen: list[httpx.Request] = []
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        item = next(left)
        if isinstance(item, Exception):
            raise item
        return httpx.Response(item.status_code, headers=item.headers, content=item.content)  # one of its own for each client

    return client_on(kind, answer, url="http://service/", patience=patience), seen


def test_a_problem_document_becomes_an_error_with_its_pointers(client_of: Callable[..., Made]) -> None:
    client, _ = client_of(httpx.Response(422, json=_PROBLEM))
    with pytest.raises(ApiError) as caught:
        client.jobs.create({"model": {"id": "org/model"}})
    assert caught.value.status == 422
    assert (caught.value.type, caught.value.code) == ("/errors#invalid-input", "invalid-input")
    assert caught.value.errors == _PROBLEM["errors"]
    assert str(caught.value) == "Validation failed:\n  /recipe/pattern/sparsity: Input should be less than 1"


def test_an_error_without_problem_document_has_its_status(client_of: Callable[..., Made]) -> None:
    client, _ = client_of(httpx.Response(418, text="<html>"))
    with pytest.raises(ApiError, match="status 418 without a problem document; check the URL of the service"):
        client.jobs.get("1")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (413, "a proxy in front of the service limits the size of requests below that of this one"),
        (502, "a proxy in front of the service gets no answer from it"),
        (503, "a proxy in front of the service gets no answer from it"),
        (504, "a proxy in front of the service gets no answer from it"),
    ],
)
def test_the_error_of_a_proxy_names_the_proxy(client_of: Callable[..., Made], status: int, reason: str) -> None:
    client, _ = client_of(*[httpx.Response(status, text="<html>")] * 10, patience=0)
    with pytest.raises(ApiError, match=f"status {status} without a problem document: {reason}"):
        client.jobs.get("1")


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.Response(503, headers={"Retry-After": "0"}),
        httpx.Response(502, text="<html>"),
        httpx.Response(504, text="<html>"),
    ],
)
def test_reads_are_retried_where_that_can_help(client_of: Callable[..., Made], trouble: httpx.Response | Exception) -> None:
    client, seen = client_of(trouble, httpx.Response(200, json=_JOB))
    assert client.jobs.get(str(_JOB["id"])).state == JobState.QUEUED
    assert len(seen) == 2


def test_a_retry_after_beyond_the_timeout_is_not_awaited(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(httpx.Response(503, json={"detail": "away"}, headers={"Retry-After": "3600"}))
    with pytest.raises(ApiError, match="away") as caught:
        client.jobs.get("1")
    assert caught.value.retry_after == 3600
    assert len(seen) == 1


_IN_FLIGHT = {"type": "/errors#idempotency-in-flight", "title": "", "status": 409, "detail": "wait"}


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("the answer was lost"),
        httpx.Response(503, headers={"Retry-After": "0"}),
        httpx.Response(409, json=_IN_FLIGHT, headers={"Retry-After": "0"}),
    ],
)
def test_a_creation_is_repeated_under_one_key(client_of: Callable[..., Made], trouble: httpx.Response | Exception) -> None:
    client, seen = client_of(trouble, httpx.Response(201, json=_JOB), httpx.Response(201, json=_JOB))
    client.jobs.create({"model": {"id": "org/model"}})
    client.jobs.create({"model": {"id": "org/model"}})
    first, again, other = (request.headers["Idempotency-Key"] for request in seen)
    assert first == again != other


def test_a_key_of_the_callers_own_is_sent(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(httpx.Response(201, json=_JOB))
    client.jobs.create({"model": {"id": "org/model"}}, idempotency_key="run-17")
    assert seen[0].headers["Idempotency-Key"] == "run-17"


def test_writes_that_are_not_idempotent_are_sent_once(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(httpx.ConnectError("refused"), httpx.Response(201, json=_JOB))
    with pytest.raises(Unreachable, match="http://service does not answer"):
        client.webhooks.test("1")
    assert len(seen) == 1


def test_waiting_uses_prefer_wait(client_of: Callable[..., Made]) -> None:
    ended = _JOB | {"state": "succeeded"}
    client, seen = client_of(httpx.Response(200, json=_JOB), httpx.Response(200, json=ended))
    assert client.jobs.wait("1").has_ended
    assert [request.headers["Prefer"] for request in seen] == ["wait=30"] * 2


def test_waiting_times_out(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(*[httpx.ConnectError("refused")] * 10, patience=0.5)
    with pytest.raises(Unreachable):
        client.jobs.get("1")
    assert 1 < len(seen) < 10


def test_fields_of_a_newer_service_are_kept(client_of: Callable[..., Made]) -> None:
    client, _ = client_of(httpx.Response(200, json=_JOB))
    assert client.jobs.get("1").model_dump(mode="json")["something_new"] == 1


def test_pages_are_joined_and_filters_repeated_with_each(client_of: Callable[..., Made]) -> None:
    pages: list[dict[str, Any]] = [{"items": [_JOB], "next_cursor": "c1"}, {"items": [_JOB, _JOB], "next_cursor": None}]
    client, seen = client_of(*(httpx.Response(200, json=page) for page in pages))
    assert len(list(client.jobs.list(state="queued", labels={"team": "search"}))) == 3
    assert [dict(request.url.params) for request in seen] == [
        {"state": "queued", "label.team": "search"},
        {"state": "queued", "label.team": "search", "cursor": "c1"},
    ]


def test_an_empty_object_is_sent_as_json(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(httpx.Response(422, json=_PROBLEM))
    with pytest.raises(ApiError):
        client.triggers.fire("1", {})
    assert (seen[0].content, seen[0].headers["Content-Type"]) == (b"{}", "application/json")


def test_an_id_cannot_change_the_address(client_of: Callable[..., Made]) -> None:
    client, seen = client_of(httpx.Response(404, json={"detail": "no"}))
    with pytest.raises(ApiError):
        client.jobs.get("../keys?x=1#")
    assert seen[0].url.raw_path == b"/v1/jobs/..%2Fkeys%3Fx%3D1%23"


def test_without_a_service_the_error_states_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("DSNOT_HOME", str(tmp_path))
    monkeypatch.delenv("DSNOT_URL", raising=False)
    with pytest.raises(NotConfigured, match="dsnot up"):
        Client()


def test_a_url_without_a_key_never_uses_the_homes_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSNOT_URL", "http://elsewhere")
    monkeypatch.delenv("DSNOT_API_KEY", raising=False)
    with pytest.raises(NotConfigured, match="DSNOT_API_KEY"):
        Client()
