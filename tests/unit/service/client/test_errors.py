"""Problems of the service as exceptions: each has its kind, and the service has no problem that was forgotten."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import httpx
import pytest

import service.main  # noqa: F401  # so that every problem is known
from service.client import (
    ApiError,
    AsyncClient,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ServiceUnavailable,
    UnexpectedResponse,
    Unreachable,
)
from service.client.errors import problem_in
from service.errors import MalformedBody, Problem
from tests.support.client_kinds import KINDS, client_on
from tests.support.waiting import CEILING_SECONDS

OF_THE_PROTOCOL = {"method-not-allowed", "bad-request", "range-not-satisfiable", "cross-site-request"}
"""The client never asks for what leads to these."""


def subclasses(kind: type[Problem]) -> Iterator[type[Problem]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def answer(problem: Mapping[str, object], status: int = 400, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=problem, headers=headers)


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param({"type": "/errors#{}", "code": "{}"}, id="now"),
        pytest.param({"type": "/tools/dsnot/errors#{}", "code": "{}"}, id="behind a proxy"),
        pytest.param({"type": "https://dsnot.example/errors#{}"}, id="absolute, without code"),
        pytest.param({"type": "urn:dsnot:problem:{}"}, id="an earlier service"),
        pytest.param({"code": "{}", "detail": "x"}, id="without type"),
    ],
)
def test_every_problem_type_has_an_exception_class(problem: Mapping[str, str]) -> None:
    known = {str(each.type) for each in subclasses(Problem) if hasattr(each, "type")}
    errors = {name: problem_in(answer({key: text.format(name) for key, text in problem.items()})) for name in known}
    assert {name: error.code for name, error in errors.items()} == {name: name for name in known}
    kinds = {name: type(error) for name, error in errors.items()}
    assert {name for name, kind in kinds.items() if kind is ApiError} <= OF_THE_PROTOCOL
    assert len(known) > 20
    assert kinds["not-found"] is NotFound
    assert kinds[MalformedBody.type].__name__ == "BodyRefused"


def test_an_unknown_problem_is_raised_all_the_same() -> None:
    error = problem_in(answer({"type": "/errors#brand-new", "title": "New", "detail": "something new"}, 409))
    assert type(error) is ApiError
    assert (error.status, error.type, error.code, str(error)) == (409, "/errors#brand-new", "brand-new", "something new")


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "null", '"x"', '{"type": 1, "errors": null}', '{"type": "about:blank"}', '{"code": 5, "detail": "x"}'],
)
def test_an_error_without_problem_document_is_raised(text: str) -> None:
    error = problem_in(httpx.Response(502, text=text))
    assert (type(error), error.code) == (ApiError, "")


@pytest.mark.parametrize(
    "kind",
    [
        "https://gateway.example/problems/not-found",
        "urn:ietf:problem:forbidden",
        "https://gateway.example/errors/conflict",
        "internal",
    ],
)
def test_the_type_of_a_gateway_is_no_code_of_the_service(kind: str) -> None:
    error = problem_in(answer({"type": kind, "detail": "a sentence of the gateway"}))
    assert (type(error), error.code, str(error)) == (ApiError, "", "a sentence of the gateway")


@pytest.mark.parametrize("errors", ["x", ["x"], {"a": "b"}, [{"message": "of another service"}]])
def test_errors_of_another_service_are_raised(errors: object) -> None:
    response = httpx.Response(404, json={"detail": "no", "errors": errors}, headers={b"Retry-After": "²".encode()})
    assert isinstance(problem_in(response), ApiError)


@pytest.mark.parametrize("text", ["<html>", "", "[]", "{}", '{"items": 1}', '{"items": [1]}', '{"data": {}}', "\x1f\x8b", '"x"'])
@pytest.mark.parametrize("client", KINDS)
def test_a_success_of_another_service_is_a_client_error(client: str, text: str) -> None:
    calls = client_on(client, lambda _: httpx.Response(200, text=text, headers={"Content-Type": "text/html; charset=x"}))
    for call in (
        lambda: calls.jobs.get("1"),
        lambda: list(calls.jobs.list()) or calls.quota(),
        calls.workers,
        lambda: calls.jobs.manifest("1"),
        lambda: calls.jobs.plan({"model": {"id": "a"}}),
    ):
        with pytest.raises(UnexpectedResponse, match=r"http://service/v1/.* answered with text/html"):
            call()


@pytest.mark.parametrize("client", KINDS)
@pytest.mark.parametrize("data", ["x", "{}", '{"seq": "x", "type": 1, "data": {}, "created_at": "x"}', "\ufffd"])
def test_a_stream_of_another_service_is_a_client_error(client: str, data: str) -> None:
    stream = httpx.Response(200, text=f"data: {data}\n\n", headers={"Content-Type": "text/event-stream"})
    with pytest.raises(UnexpectedResponse):
        list(client_on(client, lambda _: stream).jobs.events("1"))


def test_validation_errors_carry_a_pointer() -> None:
    errors = [{"pointer": "/model/id", "detail": "is required"}]
    error = problem_in(answer({"type": "/errors#invalid-input", "title": "It does not fit", "errors": errors}, 422))
    assert isinstance(error, InvalidInput)
    assert error.errors == errors


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [(QuotaExceeded, "quota-exceeded", 429), (RateLimited, "rate-limited", 429), (ServiceUnavailable, "unavailable", 503)],
)
@pytest.mark.parametrize("client", KINDS)
def test_a_retry_after_beyond_the_timeout_is_reported(client: str, kind: type[ApiError], name: str, status: int) -> None:
    problem = {"type": f"/errors#{name}", "detail": "later"}
    with pytest.raises(kind) as caught:
        client_on(client, lambda _: answer(problem, status, **{"Retry-After": "60"})).jobs.get("1")
    assert caught.value.retry_after == 60


def in_turn(*answers: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    left = iter(answers)
    return lambda _: next(left)


DELIVERY = {"id": "1", "type": "webhook.test", "state": "pending", "created_at": "2026-01-31T12:00:00Z", "attempts": []}


@pytest.mark.parametrize("client", KINDS)
def test_requests_rejected_before_processing_are_always_retried(client: str) -> None:
    limited = answer({"type": "/errors#rate-limited"}, 429, **{"Retry-After": "0"})
    assert client_on(client, in_turn(limited, answer(DELIVERY, 202))).webhooks.test("1").id == "1"


@pytest.mark.parametrize("client", KINDS)
def test_ambiguous_writes_are_not_retried(client: str) -> None:
    away = answer({"type": "/errors#unavailable"}, 503, **{"Retry-After": "0"})
    with pytest.raises(ServiceUnavailable):
        client_on(client, in_turn(away, answer(DELIVERY, 202))).webhooks.test("1")


@pytest.mark.parametrize("client", KINDS)
def test_the_cause_of_a_connection_error_is_kept(client: str) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable) as caught:
        client_on(client, refuse, patience=0).jobs.get("1")
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_concurrent_waits_run_in_parallel() -> None:
    """Twenty calls that are to come back in a second: no second request is answered before all first ones were made."""
    turned_away: set[str] = set()

    async def all_at_once() -> None:
        all_wait = asyncio.Event()

        async def reply(request: httpx.Request) -> httpx.Response:
            if request.url.path in turned_away:
                await all_wait.wait()
                return answer({"items": [], "next_cursor": None}, 200)
            turned_away.add(request.url.path)
            if len(turned_away) == 20:
                all_wait.set()
            return answer({"type": "/errors#unavailable"}, 503, **{"Retry-After": "1"})

        client = AsyncClient("http://service", "key", transport=httpx.MockTransport(reply))
        async with asyncio.timeout(CEILING_SECONDS):
            await asyncio.gather(*(client.jobs.attempts(str(number)) for number in range(20)))

    asyncio.run(all_at_once())
    assert len(turned_away) == 20
