"""Problems: what is in the document, and that types are stable and told apart."""

import json

from fastapi import Request, Response

from service.errors import Conflict, InvalidInput, Later, MalformedBody, NotFound, Problem, Unavailable, UnsupportedMediaType
from service.idempotency.operations import InFlight, KeyReused
from service.jobs.lifecycle import PreconditionFailed
from service.jobs.operations import JobNotFound, QuotaExceeded
from service.models.refusals import ModelNotAllowed, ModelNotFound, ModelUnsafe
from service.storage.artifact_store import StoreUnavailable
from service.web.authentication import Forbidden, Unauthenticated
from service.web.problem_responses import problem_responses, render
from service.web.request_body import BodyTooLarge


def rendered(problem: Problem, prefix: str = "") -> Response:
    return render(problem, Request({"type": "http", "headers": [], "state": {"path_prefix": prefix}}))


def subclasses(kind: type[Problem]) -> set[type[Problem]]:
    return {kind} | {below for child in kind.__subclasses__() for below in subclasses(child)}


def test_a_rendered_problem_is_a_problem_document() -> None:
    response = rendered(InvalidInput("fix it", errors=[{"pointer": "/a", "detail": "wrong"}]))
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "/errors#invalid-input",
        "code": "invalid-input",
        "title": "Validation failed",
        "status": 422,
        "detail": "fix it",
        "errors": [{"pointer": "/a", "detail": "wrong"}],
    }


def test_the_type_contains_the_path_prefix_of_a_proxy_and_the_code_does_not() -> None:
    document = json.loads(bytes(rendered(NotFound("x"), "/tools/dsnot").body))
    assert (document["type"], document["code"]) == ("/tools/dsnot/errors#not-found", "not-found")


def test_text_that_is_invalid_in_utf8_is_rendered() -> None:
    response = rendered(InvalidInput("\ud800", errors=[{"pointer": "/\udfff", "detail": "x"}]))
    assert json.loads(bytes(response.body))["detail"] == "\ud800"


def test_a_transient_error_has_retry_after() -> None:
    assert rendered(Unavailable("x", retry_after=7)).headers["retry-after"] == "7"


def test_every_transient_problem_sends_and_declares_retry_after() -> None:
    passing = {kind for kind in subclasses(Problem) if getattr(kind, "status", 0) in (429, 503)}
    assert passing > {QuotaExceeded, Unavailable}
    assert all(issubclass(kind, Later) for kind in passing)
    for kind in subclasses(Later) - {Later, StoreUnavailable}:
        assert int(rendered(kind("x")).headers["retry-after"]) > 0, kind
        assert "Retry-After" in problem_responses(kind)[kind.status]["headers"]
    assert int(rendered(StoreUnavailable(OSError())).headers["retry-after"]) > 0


def test_problem_types_are_stable() -> None:
    expected: dict[type[Problem], tuple[int, str]] = {
        BodyTooLarge: (413, "body-too-large"),
        MalformedBody: (400, "malformed-body"),
        UnsupportedMediaType: (415, "unsupported-media-type"),
        Conflict: (409, "conflict"),
        InvalidInput: (422, "invalid-input"),
        NotFound: (404, "not-found"),
        JobNotFound: (404, "not-found"),
        Unavailable: (503, "unavailable"),
        PreconditionFailed: (412, "precondition-failed"),
        QuotaExceeded: (429, "quota-exceeded"),
        InFlight: (409, "idempotency-in-flight"),
        KeyReused: (422, "idempotency-key-reused"),
        Unauthenticated: (401, "unauthenticated"),
        Forbidden: (403, "forbidden"),
        ModelNotFound: (422, "model-not-found"),
        ModelUnsafe: (422, "model-unsafe"),
        ModelNotAllowed: (422, "model-not-allowed"),
    }
    assert {problem: (problem.status, str(problem.type)) for problem in expected} == expected


def test_each_type_has_one_status() -> None:
    concrete = {kind for kind in subclasses(Problem) if hasattr(kind, "type")}
    statuses: dict[str, set[int]] = {}
    for kind in concrete:
        statuses.setdefault(kind.type, set()).add(kind.status)
    assert {kind: codes for kind, codes in statuses.items() if len(codes) > 1} == {}


def test_declared_responses_carry_the_problem_they_declare() -> None:
    declared = problem_responses(Conflict, NotFound)
    assert {status: entry["content"]["application/problem+json"]["example"]["status"] for status, entry in declared.items()} == {
        409: 409,
        404: 404,
    }
