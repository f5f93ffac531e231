"""Bad input: each kind has its status, its type and a pointer to the spot, and never upsets the service."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.logging import configure_logging
from service.settings import Settings
from tests.support.api_server import BODY, key_for, problem


def recipe(**fields: Any) -> dict[str, Any]:
    return BODY | {"recipe": fields}


INVALID: list[tuple[Any, str]] = [
    ({}, "/model"),
    ([], ""),
    ("text", ""),
    (BODY | {"modle": 1}, "/modle"),
    (BODY | {"calibration": {"num_sample": 1}}, "/calibration/num_sample"),
    (BODY | {"calibration": {"num_samples": "128"}}, "/calibration/num_samples"),
    (BODY | {"calibration": {"num_samples": True}}, "/calibration/num_samples"),
    (BODY | {"calibration": {"seed": 2**32}}, "/calibration/seed"),
    (BODY | {"calibration": {"dataset": "c5"}}, "/calibration/dataset"),
    (BODY | {"calibration": {"dataset": "c4:tset"}}, "/calibration/dataset"),
    (BODY | {"evaluation": {"perplexity": ["wikitext2", "nonsense"]}}, "/evaluation/perplexity/1"),
    (BODY | {"evaluation": {"tasks": ["boolq", "../boolq"]}}, "/evaluation/tasks/1"),
    (BODY | {"evaluation": {"tasks": ["boolq.yaml"]}}, "/evaluation/tasks/0"),
    (BODY | {"evaluation": {"tasks": [{"task": "boolq", "dataset_path": "json"}]}}, "/evaluation/tasks/0"),
    (BODY | {"evaluation": {"tasks": ["boolq", "boolq"]}}, "/evaluation/tasks"),
    (BODY | {"evaluation": {"tasks": [f"t{number}" for number in range(65)]}}, "/evaluation/tasks"),
    (BODY | {"evaluation": {"task_limit": 0}}, "/evaluation/task_limit"),
    (BODY | {"evaluation": {"few_shot": 65}}, "/evaluation/few_shot"),
    (BODY | {"evaluation": {"agreement_windows": -1}}, "/evaluation/agreement_windows"),
    (BODY | {"evaluation": {"agreement_windows": 1025}}, "/evaluation/agreement_windows"),
    (BODY | {"evaluation": {"agreement_windows": 2.5}}, "/evaluation/agreement_windows"),
    (BODY | {"calibration": {"dataset": "c4"}, "evaluation": {"perplexity": ["c4:train"]}}, "/evaluation/perplexity"),
    (BODY | {"output": {"formats": []}}, "/output/formats"),
    (BODY | {"output": {"formats": ["packed", "zip"]}}, "/output/formats/1"),
    (BODY | {"output": {"formats": ["packed", "packed"]}}, "/output/formats"),
    (recipe(preset="best") | {"output": {"formats": ["dense", "mask"]}}, "/output/formats"),
    (BODY | {"labels": {"bad name!": "x"}}, "/labels/bad name!"),
    (BODY | {"labels": {"a~b/ c": "x"}}, "/labels/a~0b~1 c"),
    (BODY | {"labels": {"team": 1}}, "/labels/team"),
    (BODY | {"priority": 10}, "/priority"),
    (BODY | {"priority": 1.5}, "/priority"),
    (BODY | {"queue_deadline_seconds": 10**30}, "/queue_deadline_seconds"),
    (recipe(pattern={"type": "unstructured", "sparsity": -0.1}), "/recipe/pattern/sparsity"),
    (recipe(pattern={"type": "unstructured", "sparsity": 1}), "/recipe/pattern/sparsity"),
    (recipe(pattern={"sparsity": 1.5}), "/recipe/pattern/sparsity"),
    (recipe(pattern={"type": "n:m", "n": 0, "m": 4}), "/recipe/pattern/n"),
    (recipe(pattern={"type": "n:m", "n": 4, "m": 4}), "/recipe/pattern/n"),
    (recipe(pattern={"type": "n:m", "n": 2}), "/recipe/pattern/m"),
    (recipe(pattern={"type": "n:m", "n": 2, "m": 4, "sparsity": 0.5}), "/recipe/pattern/sparsity"),
    (recipe(pattern={"type": "2:4"}), "/recipe/pattern/type"),
    (recipe(pattern="2:4"), "/recipe/pattern"),
    (recipe(refinement={"max_cycles": -1}), "/recipe/refinement/max_cycles"),
    (recipe(refinement={"method": "none", "max_cycles": 1}), "/recipe/refinement/max_cycles"),
    (recipe(preset="dsnot-paper", refinement={"accept": "sometimes"}), "/recipe/refinement/accept"),
    (recipe(preset="unknown"), "/recipe/preset"),
    (recipe(preset="fast", refinement={"max_cycles": 3}), "/recipe/refinement/max_cycles"),
    (recipe(pattern={"type": "n:m", "n": 2, "m": 4}, allocation="owl"), "/recipe/allocation"),
    (recipe(preset="best", refinement={"method": "swaps"}), "/recipe/update/mask"),
    (recipe(preset="best", criterion="ria"), "/recipe/criterion"),
    (recipe(objective="propagated"), "/recipe/objective"),
    (recipe(update={"method": "admm", "iterations": 0}), "/recipe/update/iterations"),
    (recipe(preset=["dsnot-paper"]), "/recipe/preset"),
    ({"model": {}}, "/model/id"),
    ({"model": {"id": "a", "source": "s3"}}, "/model/source"),
    ({"model": {"id": "../etc"}}, "/model/id"),
    ({"model": {"id": "org/..", "source": "local"}}, "/model/id"),
    ({"model": {"id": "/etc/passwd", "source": "local"}}, "/model/id"),
    ({"model": {"id": "https://huggingface.co/a/b"}}, "/model/id"),
    ({"model": {"id": "a\0b"}}, "/model/id"),
    ({"model": {"id": "a", "revision": "../main"}}, "/model/revision"),
    ({"model": {"id": "a", "revision": "main", "source": "local"}}, "/model/revision"),
    (BODY | {"labels": {"team": "a\0"}}, "/labels/team"),
    (BODY | {"labels": {"te\0am": "a"}}, "/labels/te\0am"),
]


def test_validation_errors_carry_a_pointer(api: httpx.Client) -> None:
    found = {json.dumps(body): problem(api.post("/v1/jobs", json=body)) for body, _ in INVALID}
    assert found == {json.dumps(body): (422, "invalid-input", [spot]) for body, spot in INVALID}


def test_all_errors_are_reported_at_once(api: httpx.Client) -> None:
    body = {"model": {"id": "a"}, "priority": -1, "recipe": {"criterion": "random"}, "extra": 1}
    assert set(problem(api.post("/v1/jobs", json=body))[2]) == {"/priority", "/recipe/criterion", "/extra"}


def test_unknown_and_missing_fields_are_reported_with_a_remedy(api: httpx.Client) -> None:
    errors = api.post("/v1/jobs", json={"modle": {"id": "a"}}).json()["errors"]
    told = {error["pointer"]: error["detail"] for error in errors}
    assert told == {"/model": "is required", "/modle": "unknown field; check its spelling or omit it"}


MALFORMED: list[tuple[bytes, int, str]] = [
    (b'{"model": ', 400, "malformed-body"),
    (b"not json", 400, "malformed-body"),
    (b'{"model": {"id": "a"}} trailing', 400, "malformed-body"),
    (b'{"model": {"id": "a"}, "recipe": {"pattern": {"sparsity": NaN}}}', 400, "malformed-body"),
    (b'{"model": {"id": "a"}, "recipe": {"pattern": {"sparsity": -Infinity}}}', 400, "malformed-body"),
    (b'{"model": {"id": "a"}, "recipe": {"pattern": {"sparsity": 1e999}}}', 422, "invalid-input"),
    (b'{"model": {"id": "a"}, "model": {"id": "b"}}', 400, "malformed-body"),
    (b'{"model": {"id": "a"}, "calibration": {"seed": ' + b"1" * 5000 + b"}}", 400, "malformed-body"),
    (b'{"model": {"id": "\xff"}}', 400, "malformed-body"),
    ('{"model": {"id": "a"}}'.encode("utf-16"), 400, "malformed-body"),
    (b'\xef\xbb\xbf{"model": {"id": "a"}}', 400, "malformed-body"),
    (rb'{"model": {"id": "a"}, "labels": {"team": "\ud800"}}', 422, "invalid-input"),
    (rb'{"model": {"id": "a"}, "labels": {"\udc00": "x"}}', 422, "invalid-input"),
    (b"[" * 30_000, 400, "malformed-body"),
    (b'{"model":' * 500 + b"1" + b"}" * 500, 400, "malformed-body"),
]


def test_nonstandard_json_is_refused(api: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answers = [problem(api.post("/v1/jobs", content=body, headers=headers))[:2] for body, _, _ in MALFORMED]
    assert answers == [(status, kind) for _, status, kind in MALFORMED]


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_of_another_media_type_is_refused(api: httpx.Client, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    response = api.post("/v1/jobs", content=json.dumps(BODY).encode(), headers=headers)
    assert problem(response)[:2] == (415, "unsupported-media-type")


def test_json_media_types_may_carry_parameters_and_suffixes(api: httpx.Client) -> None:
    for media_type in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.dsnot+json"):
        assert api.post("/v1/jobs", content=json.dumps(BODY), headers={"Content-Type": media_type}).status_code == 201


def test_a_body_may_have_the_size_allowed_and_not_one_byte_more(api: httpx.Client, settings: Settings) -> None:
    def padded(size: int) -> bytes:
        return json.dumps(BODY).encode().ljust(size)

    def in_chunks(body: bytes) -> Iterator[bytes]:
        yield from (body[start : start + 1000] for start in range(0, len(body), 1000))

    headers, limit = {"Content-Type": "application/json"}, settings.max_body_bytes
    assert api.post("/v1/jobs", content=padded(limit), headers=headers).status_code == 201
    assert api.post("/v1/jobs", content=in_chunks(padded(limit)), headers=headers).status_code == 201
    assert problem(api.post("/v1/jobs", content=padded(limit + 1), headers=headers))[:2] == (413, "body-too-large")
    assert problem(api.post("/v1/jobs", content=in_chunks(padded(limit + 1)), headers=headers))[:2] == (413, "body-too-large")


BAD_QUERIES = [
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=ten", "limit"),
    ("state=done", "state"),
    ("created_after=yesterday", "created_after"),
    ("created_after=2026-01-01T00:00:00", "created_after"),
    ("cursor=nonsense", "cursor"),
    ("cursor=WzEsIDJd", "cursor"),
    ("cursor=W10%3D", "cursor"),
    ("cursor=%C3%A4", "cursor"),
    ("stat=queued", "stat"),
    ("label.=x", "label."),
    ("label.team=a%00", "label.team"),
    ("model=a%00", "model"),
]


def test_invalid_queries_are_refused_by_name(api: httpx.Client) -> None:
    found = [problem(api.get(f"/v1/jobs?{query}")) for query, _ in BAD_QUERIES]
    assert [(status, kind, spots[:1]) for status, kind, spots in found] == [(422, "invalid-input", [n]) for _, n in BAD_QUERIES]


def test_an_unknown_parameter_is_refused(api: httpx.Client) -> None:
    """A job must not be created because somebody wrote `?validate_only=true`, or a word like it, to a version without it."""
    assert problem(api.post("/v1/jobs?validate_onyl=true", json=BODY)) == (422, "invalid-input", ["validate_onyl"])
    assert api.get("/v1/jobs").json()["items"] == []


def test_numbers_beyond_the_database_are_refused(api: httpx.Client) -> None:
    path = api.post("/v1/jobs", json=BODY).headers["location"]
    for query in (
        "events?after=2147483648",
        "events?after=-1",
        "events?limit=1001",
        "layers?cursor=99999999999",
        "layers?limit=0",
    ):
        assert problem(api.get(f"{path}/{query}"))[0] == 422
    for given in ("2147483648", "-1", "x", "1.5"):
        assert problem(api.get(f"{path}/events", headers={"Last-Event-ID": given}))[0] == 422


def test_unknown_paths_and_methods_return_problems(api: httpx.Client) -> None:
    assert problem(api.get("/v1/nonsense"))[:2] == (404, "not-found")
    assert problem(api.get("/v1/jobs/"))[:2] == (404, "not-found")
    refused = api.put("/v1/jobs", json=BODY)
    assert problem(refused)[:2] == (405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, POST"


def test_a_wrong_method_is_answered_with_the_allowed_ones(api: httpx.Client) -> None:
    """However many routes lie at an address."""
    document = api.get("/openapi.json").json()
    some_id = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"
    for path, operations in document["paths"].items():
        refused = api.request("TRACE", re.sub(r"{\w+}", some_id, path))
        assert problem(refused)[:2] == (405, "method-not-allowed"), path
        allowed = set(refused.headers["allow"].split(", "))
        assert allowed - {"HEAD"} == {method.upper() for method in operations}, path


NOT_QUITE: list[tuple[str, str, dict[str, Any], str]] = [
    ("patch", "webhook", {"enabled": "yes"}, "/enabled"),
    ("patch", "webhook", {"enabled": 1}, "/enabled"),
    ("post", "webhook/rotate-secret", {"overlap_seconds": True}, "/overlap_seconds"),
    ("post", "webhook/rotate-secret", {"overlap_seconds": "60"}, "/overlap_seconds"),
    ("patch", "trigger", {"enabled": "yes"}, "/enabled"),
    ("patch", "trigger", {"enabled": 0}, "/enabled"),
    ("post", "trigger/rotate-secret", {"overlap_seconds": True}, "/overlap_seconds"),
    ("post", "triggers", {"name": "nightly", "template": BODY, "enabled": "on"}, "/enabled"),
]


def test_values_of_other_types_are_not_coerced(api: httpx.Client) -> None:
    webhook = api.post("/v1/webhooks", json={"url": "https://example.com/hook"}).json()["id"]
    trigger = api.post("/v1/triggers", json={"name": "nightly", "template": BODY}).json()["id"]
    places = {"webhook": f"/v1/webhooks/{webhook}", "trigger": f"/v1/triggers/{trigger}", "triggers": "/v1/triggers"}

    def refusal(method: str, place: str, body: dict[str, Any]) -> tuple[int, str, list[str]]:
        of, slash, rest = place.partition("/")
        return problem(api.request(method, places[of] + slash + rest, json=body))

    assert [refusal(method, place, body) for method, place, body, _ in NOT_QUITE] == [
        (422, "invalid-input", [spot]) for *_, spot in NOT_QUITE
    ]


@pytest.fixture
def written_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the process writes to its log, in the form for machines."""
    written, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stderr", written)
    configure_logging("INFO", "json")
    yield written
    root.handlers = handlers
    root.setLevel(level)


def test_an_unexpected_error_reveals_only_its_id(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, written_log: io.StringIO
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr("service.jobs.operations.list_sorted", fail)
    response = api.get("/v1/jobs", headers={"X-Request-ID": "req-42"})
    assert problem(response)[:2] == (500, "internal")
    assert "secret internals" not in response.text
    assert "req-42" in response.json()["detail"]
    assert response.headers["x-request-id"] == "req-42"
    logged = [json.loads(line) for line in written_log.getvalue().splitlines()]
    failure = next(line for line in logged if line["event"] == "request_failed")
    assert failure["request_id"] == "req-42"
    assert "RuntimeError: secret internals" in failure["exception"]


def test_each_request_is_logged_with_its_caller_without_the_key(
    api: httpx.Client, database: Database, written_log: io.StringIO
) -> None:
    key = key_for(database, Scope.JOBS_READ, tenant="globex")
    api.get("/v1/jobs?limit=5", headers={"Authorization": f"Bearer {key}"})
    api.get("/livez")
    lines = [json.loads(line) for line in written_log.getvalue().splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"], line["tenant"]) for line in requests] == [
        ("GET", "/v1/jobs", 200, "globex")
    ]
    assert key.split("_", 2)[2] not in written_log.getvalue()


def test_a_request_id_is_always_returned_and_safe_for_the_log(api: httpx.Client) -> None:
    first, second = (api.get("/livez").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert api.get("/v1/nonsense", headers={"X-Request-ID": "abc.1-2_3"}).headers["x-request-id"] == "abc.1-2_3"
    for forged in ("a b", "x" * 129, "a\tb", '"quoted"'):
        assert api.get("/livez", headers={"X-Request-ID": forged}).headers["x-request-id"] != forged
