"""Triggers through the API: every kind of event starts one job, the same event again none; who may fire; the log."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import text
from standardwebhooks import Webhook as StandardWebhook

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from service.triggers import repository
from tests.support.api_server import client, key_for, problem, serving
from tests.support.sweep_points import GRID, SEARCH, run_to_end
from tests.support.trigger_events import CLOUDEVENT, HEAD, HUB, MLFLOW, PLAIN, bytes_of, mlflow_headers
from tests.support.triggers import TEMPLATE, create, fire, jobs
from tests.support.waiting import CEILING_SECONDS


def outcomes(api: httpx.Client, trigger: dict[str, Any]) -> list[str]:
    return [each["outcome"] for each in api.get(f"/v1/triggers/{trigger['id']}/firings").json()["items"]]


@pytest.fixture
def stranger(api: httpx.Client) -> httpx.Client:
    """Somebody without a key."""
    return httpx.Client(base_url=api.base_url, timeout=CEILING_SECONDS, verify=False)  # noqa: S501


def structured(_secret: str) -> tuple[dict[str, str], bytes]:
    message = to_structured_event(CloudEvent(attributes(), CLOUDEVENT["data"]))
    return dict(message.headers), message.body


def binary(_secret: str) -> tuple[dict[str, str], bytes]:
    message = to_binary_event(CloudEvent(attributes(), CLOUDEVENT["data"]))
    return dict(message.headers), message.body


def attributes() -> dict[str, Any]:
    given = {name: value for name, value in CLOUDEVENT.items() if name != "data"}
    return given | {"time": datetime.fromisoformat(given["time"])}


def hub(secret: str) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json", "X-Webhook-Secret": secret}, bytes_of(HUB)


def mlflow(secret: str) -> tuple[dict[str, str], bytes]:
    body = bytes_of(MLFLOW)
    return mlflow_headers(secret, body), body


def plain(_secret: str) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, bytes_of(PLAIN)


def standard(secret: str) -> tuple[dict[str, str], bytes]:
    body, now = bytes_of(PLAIN), datetime.now(UTC)
    made = StandardWebhook(secret).sign("msg_1", now, body.decode())
    signed = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": made}
    return {"Content-Type": "application/json"} | signed, body


Send = Callable[[str], tuple[dict[str, str], bytes]]
KINDS: list[tuple[Send, str, str, str, bool]] = [
    (structured, "cloudevents", "data.model", "/registry/models A234-1234-1234", True),
    (binary, "cloudevents", "data.model", "/registry/models A234-1234-1234", True),
    (hub, "huggingface", "data.repo.name", f"6366c000a2abcdf2fd69a080 {HEAD} update repo.content", False),
    (mlflow, "mlflow", "data.tags.hub_id", "", False),
    (plain, "json", "data.model", "run-17", True),
    (standard, "json", "data.model", "msg_1", False),
]


@pytest.mark.parametrize(("send", "kind", "model", "event_id", "with_key"), KINDS, ids=[each[0].__name__ for each in KINDS])
def test_each_kind_of_event_starts_one_job_and_is_deduplicated(
    api: httpx.Client, stranger: httpx.Client, send: Send, kind: str, model: str, event_id: str, with_key: bool
) -> None:
    template = TEMPLATE | {"model": {"id": f"${{{{ {model} }}}}"}}
    trigger = create(api, template=template)
    headers, body = send(trigger["secret"])
    sender = api if with_key else stranger
    first = sender.post(f"/v1/triggers/{trigger['id']}/fire", headers=headers, content=body)
    assert first.status_code == 201, first.text
    made = first.json()
    assert (made["outcome"], made["kind"]) == ("fired", kind)
    assert made["event_id"].startswith(event_id)
    assert first.headers["location"] == f"/v1/jobs/{made['job_id']}"
    again = sender.post(f"/v1/triggers/{trigger['id']}/fire", headers=headers, content=body)
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["job_id"]) == (made["id"], made["job_id"])
    (job,) = jobs(api)
    assert job["id"] == made["job_id"]
    assert job["labels"] == {"kind": kind, "dsnot/trigger": trigger["id"]}
    assert api.get("/v1/jobs", params={"label.dsnot/trigger": trigger["id"]}).json()["items"] == [job]
    assert outcomes(api, trigger) == ["duplicate", "fired"]


@pytest.mark.parametrize("send", [standard, mlflow])
@pytest.mark.parametrize("more", [{"Idempotency-Key": "other"}, {"webhook-id": "other"}, {"X-MLflow-Delivery-Id": "other"}])
def test_a_signed_message_with_another_id_starts_no_other_job(
    api: httpx.Client, stranger: httpx.Client, send: Send, more: dict[str, str]
) -> None:
    trigger = create(api, template=TEMPLATE | {"model": {"id": "a/b"}})
    headers, body = send(trigger["secret"])
    for each in (headers, headers | more):
        stranger.post(f"/v1/triggers/{trigger['id']}/fire", headers=each, content=body)
    assert len(jobs(api)) == 1


def test_a_signed_cloudevent_carries_its_attributes_in_the_body(api: httpx.Client, stranger: httpx.Client) -> None:
    trigger = create(api)
    headers, body = standard(trigger["secret"])
    more = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "a", "ce-type": "b"}
    answer = stranger.post(f"/v1/triggers/{trigger['id']}/fire", headers=headers | more, content=body)
    assert problem(answer) == (422, "invalid-input", ["ce-specversion"])


@pytest.mark.parametrize("given", ["nothing", "another secret", "another body", "expired", "unknown trigger", "short"])
def test_requests_without_valid_proof_fire_nothing(api: httpx.Client, stranger: httpx.Client, given: str) -> None:
    trigger = create(api, template=TEMPLATE | {"model": {"id": "a/b"}})
    body = bytes_of(MLFLOW)
    headers = mlflow_headers(trigger["secret"], body, age=400 if given == "expired" else 0)
    if given == "nothing":
        headers = {"Content-Type": "application/json"}
    elif given == "another secret":
        headers = mlflow_headers(create(api)["secret"], body)
    elif given == "another body":
        body = body.replace(b"created", b"removed")
    elif given == "short":
        headers = {"Content-Type": "application/json", "X-Webhook-Secret": trigger["secret"][:-1]}
    target = uuid4() if given == "unknown trigger" else trigger["id"]
    answer = stranger.post(f"/v1/triggers/{target}/fire", headers=headers, content=body)
    assert problem(answer)[:2] == (401, "unauthenticated")
    assert jobs(api) == []
    assert outcomes(api, trigger) == []


def test_an_api_key_takes_precedence_over_other_proofs(api: httpx.Client, database: Database) -> None:
    trigger = create(api)
    headers = {"X-Webhook-Secret": trigger["secret"]}
    url = f"/v1/triggers/{trigger['id']}/fire"
    with client(str(api.base_url), key_for(database, Scope.JOBS_READ)) as reader:
        assert problem(reader.post(url, json=PLAIN, headers=headers))[:2] == (403, "forbidden")
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as other:
        assert problem(other.post(url, json=PLAIN, headers=headers))[:2] == (404, "not-found")
        assert other.get("/v1/triggers").json()["items"] == []
    assert jobs(api) == []


def test_after_rotation_both_secrets_verify_during_the_overlap(api: httpx.Client, stranger: httpx.Client) -> None:
    trigger = create(api)
    path = f"/v1/triggers/{trigger['id']}"

    def status(secret: str) -> int:
        return stranger.post(f"{path}/fire", json=PLAIN, headers={"X-Webhook-Secret": secret}).status_code

    second = api.post(f"{path}/rotate-secret", json={"overlap_seconds": 60}).json()["secret"]
    assert (status(trigger["secret"]), status(second)) == (201, 200)
    third = api.post(f"{path}/rotate-secret", json={"overlap_seconds": 0}).json()["secret"]
    assert [status(secret) for secret in (trigger["secret"], second, third)] == [401, 401, 200]


def test_no_secret_is_stored_or_shown_twice(api: httpx.Client, stranger: httpx.Client, database: Database) -> None:
    trigger = create(api)
    stranger.post(f"/v1/triggers/{trigger['id']}/fire", json=PLAIN, headers={"X-Webhook-Secret": trigger["secret"]})
    with database.begin() as session:
        statements = ("SELECT * FROM triggers", "SELECT * FROM trigger_firings", "SELECT * FROM jobs")
        rows = str([session.execute(text(each)).all() for each in statements])
    assert trigger["secret"].removeprefix("whsec_") not in rows
    assert "secret" not in api.get(f"/v1/triggers/{trigger['id']}").json()


def test_concurrent_copies_of_an_event_start_one_job(api: httpx.Client) -> None:
    trigger = create(api)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: fire(api, trigger, PLAIN), range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(jobs(api)) == 1


def test_filtered_events_are_dropped_and_not_deduplicated(api: httpx.Client) -> None:
    trigger = create(api, filter="data.samples > `20`")
    stopped = fire(api, trigger, PLAIN)
    assert (stopped.status_code, stopped.json()["outcome"], stopped.json()["job"]) == (200, "filtered", None)
    assert "location" not in stopped.headers
    api.patch(f"/v1/triggers/{trigger['id']}", json={"filter": None})
    assert fire(api, trigger, PLAIN).status_code == 201
    assert outcomes(api, trigger) == ["fired", "filtered"]


def test_an_event_whose_job_was_refused_may_be_sent_again(api: httpx.Client) -> None:
    trigger = create(api)
    answer = fire(api, trigger, PLAIN | {"model": "../../etc"})
    assert problem(answer) == (422, "invalid-input", ["/model/id"])
    answer = fire(api, trigger, {"id": "run-17"})
    assert problem(answer) == (422, "invalid-input", ["/model/id"])
    assert fire(api, trigger, PLAIN).status_code == 201
    assert outcomes(api, trigger) == ["fired", "refused", "refused"]
    refused = api.get(f"/v1/triggers/{trigger['id']}/firings", params={"outcome": "refused"}).json()["items"]
    assert [each["problem"]["status"] for each in refused] == [422, 422]


def test_a_full_queue_refuses_without_consuming_the_event(settings: Settings, database: Database) -> None:
    few = settings.model_copy(update={"max_queued_jobs": 1})
    with serving(few) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        trigger = create(api)
        assert fire(api, trigger, PLAIN).status_code == 201
        second = PLAIN | {"id": "run-18"}
        assert problem(fire(api, trigger, second))[:2] == (429, "quota-exceeded")
        assert len(jobs(api)) == 1
        api.post(f"/v1/jobs/{jobs(api)[0]['id']}/cancel")
        assert fire(api, trigger, second).status_code == 201
        assert outcomes(api, trigger) == ["fired", "refused", "fired"]


def test_a_replay_creates_a_new_job_and_claims_a_refused_event(api: httpx.Client) -> None:
    trigger = create(api, filter="data.samples > `20`")
    path = f"/v1/triggers/{trigger['id']}/firings"
    stopped = fire(api, trigger, PLAIN).json()
    replayed = api.post(f"{path}/{stopped['id']}/replay")
    assert (replayed.status_code, replayed.json()["refers_to"]) == (201, stopped["id"])
    api.patch(f"/v1/triggers/{trigger['id']}", json={"filter": None})
    again = fire(api, trigger, PLAIN)
    assert (again.status_code, again.json()["job_id"]) == (200, replayed.json()["job_id"])
    twice = api.post(f"{path}/{replayed.json()['id']}/replay")
    assert twice.status_code == 201
    assert len(jobs(api)) == 2
    duplicate = api.get(path, params={"outcome": "duplicate"}).json()["items"][0]
    assert problem(api.post(f"{path}/{duplicate['id']}/replay"))[:2] == (409, "conflict")
    assert problem(api.post(f"{path}/{uuid4()}/replay"))[:2] == (404, "not-found")


def test_a_dry_run_reports_the_result_and_writes_nothing(api: httpx.Client) -> None:
    trigger = create(api, template=TEMPLATE | {"calibration": {"num_samples": "${{ data.samples }}"}}, enabled=False)
    plan = fire(api, trigger, PLAIN, validate_only=True)
    assert plan.status_code == 200
    assert (plan.json()["matched"], plan.json()["duplicate_of"]) == (True, None)
    assert plan.json()["spec"]["model"]["id"] == "facebook/opt-125m"
    assert plan.json()["spec"]["calibration"]["num_samples"] == 16
    assert (jobs(api), outcomes(api, trigger)) == ([], [])


def test_a_disabled_trigger_starts_nothing(api: httpx.Client) -> None:
    trigger = create(api, enabled=False)
    assert problem(fire(api, trigger, PLAIN))[:2] == (409, "conflict")
    api.patch(f"/v1/triggers/{trigger['id']}", json={"enabled": True})
    assert fire(api, trigger, PLAIN).status_code == 201


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"template": {}}, "/template/model"),
        ({"template": {"model": {"id": "a"}, "modle": 1}}, "/template/modle"),
        ({"template": {"model": {"id": "${{ data. }}"}}}, "/template/model/id"),
        ({"template": {"model": {"id": "${{ data.model"}}}, "/template/model/id"),
        ({"template": {"model": {"id": "${{ no_such(data) }}"}}}, "/template/model/id"),
        ({"template": {"model": {"id": "${{ " + "a" * 1025 + " }}"}}}, "/template/model/id"),
        ({"template": {"model": {"id": "${{ data.m }}"}, "priority": 99}}, "/template/priority"),
        ({"template": {"model": {"id": "a"}, "labels": {"${{ data.m }}": "x"}}}, "/template/labels/${{ data.m }}"),
        ({"filter": "data.["}, "/filter"),
        ({"source": "github"}, "/source"),
    ],
)
def test_errors_in_a_trigger_have_a_pointer(api: httpx.Client, fields: dict[str, Any], pointer: str) -> None:
    status, kind, pointers = problem(api.post("/v1/triggers", json={"name": "t", "template": TEMPLATE} | fields))
    assert (status, kind) == (422, "invalid-input")
    assert pointer in pointers
    assert api.get("/v1/triggers").json()["items"] == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]", 415),
        ({"Content-Type": "text/plain", "ce-specversion": "1.0"}, b"x", 415),
        ({"Content-Type": "application/cloudevents+json"}, b'{"specversion": "1.0"}', 422),
        ({"Content-Type": "application/cloudevents+json"}, b'{"specversion":"0.3","id":"1","source":"a","type":"b"}', 422),
        (
            {"Content-Type": "application/cloudevents+json"},
            b'{"specversion":"1.0","id":"1","source":"a","type":"b","data_base64":""}',
            415,
        ),
        (
            {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "%00", "ce-source": "a", "ce-type": "b"},
            b"{}",
            422,
        ),
        (
            {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "%ff", "ce-source": "a", "ce-type": "b"},
            b"{}",
            422,
        ),
        ({"Content-Type": "application/json", "Idempotency-Key": "é".encode("latin-1").decode("latin-1")}, b"{}", 422),
        ({"Content-Type": "application/json"}, b"[]", 422),
        ({}, b"", 422),
        ({"Content-Type": "application/json"}, b'{"model": 1e999}', 422),
        ({"Content-Type": "application/json"}, b'{"id": "' + b"x" * 600 + b'"}', 422),
    ],
    ids=[
        *("batch", "text", "missing attributes", "version", "data_base64", "NUL in the id", "bad encoding of the id"),
        *("bad key", "array", "empty", "infinite number", "long id"),
    ],
)
def test_a_malformed_event_is_refused(api: httpx.Client, headers: dict[str, str], body: bytes, status: int) -> None:
    trigger = create(api)
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = api.post(f"/v1/triggers/{trigger['id']}/fire", headers=raw, content=body)
    assert problem(answer)[0] == status, answer.text
    assert jobs(api) == []


def test_lists_are_paginated(api: httpx.Client) -> None:
    made = [create(api, name=str(number))["id"] for number in range(3)]
    trigger = {"id": made[0]}
    for number in range(3):
        fire(api, trigger, PLAIN | {"id": str(number)})
    for path, expected in (("/v1/triggers", made[::-1]), (f"/v1/triggers/{made[0]}/firings", None)):
        first = api.get(path, params={"limit": 2}).json()
        rest = api.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
        ids = [each["id"] for each in first["items"] + rest["items"]]
        assert len(set(ids)) == 3
        assert rest["next_cursor"] is None
        assert expected is None or ids == expected
    detail = api.get(f"/v1/triggers/{made[0]}/firings/{ids[0]}").json()
    assert detail["event"]["data"] == PLAIN | {"id": "2"}


def test_the_number_of_triggers_per_tenant_is_limited(settings: Settings, database: Database) -> None:
    few = settings.model_copy(update={"max_triggers": 1})
    with serving(few) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        create(api)
        assert problem(api.post("/v1/triggers", json={"name": "t", "template": TEMPLATE}))[:2] == (409, "conflict")


def test_without_a_secret_key_the_service_accepts_api_keys_only(settings: Settings, database: Database) -> None:
    bare = settings.model_copy(update={"secret_key": None})
    with serving(bare) as url, client(url, key_for(database, Scope.ADMIN)) as api, client(url, None) as stranger:
        trigger = create(api)
        assert trigger["secret"] is None
        assert fire(api, trigger, PLAIN).status_code == 201
        headers = {"X-Webhook-Secret": "whsec_"}
        assert stranger.post(f"/v1/triggers/{trigger['id']}/fire", json=PLAIN, headers=headers).status_code == 401
        assert api.post(f"/v1/triggers/{trigger['id']}/rotate-secret").status_code == 503


def test_deleting_a_trigger_deletes_its_log_and_keeps_its_jobs(api: httpx.Client) -> None:
    trigger = create(api)
    job_id = fire(api, trigger, PLAIN).json()["job_id"]
    assert api.delete(f"/v1/triggers/{trigger['id']}").status_code == 204
    assert problem(api.get(f"/v1/triggers/{trigger['id']}/firings"))[:2] == (404, "not-found")
    assert [job["id"] for job in jobs(api)] == [job_id]


def test_events_that_started_no_job_are_kept_up_to_a_number(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "UNFIRED_KEPT", 2)
    trigger, other = create(api, filter="data.samples > `20`"), create(api, filter="data.samples > `20`")
    assert fire(api, trigger, PLAIN | {"id": "run-1", "samples": 21}).status_code == 201
    for each in (trigger, trigger, trigger, other):
        fire(api, each, PLAIN)
    with database.begin() as session:
        assert repository.forget_unfired(session) == 1
        assert repository.forget_unfired(session) == 0
    assert (outcomes(api, trigger), outcomes(api, other)) == (["filtered", "filtered", "fired"], ["filtered"])


def test_old_firings_and_their_event_ids_expire(api: httpx.Client, database: Database) -> None:
    trigger = create(api)
    fired = fire(api, trigger, PLAIN).json()
    with database.begin() as session:
        repository.forget(session, keep_seconds=timedelta(days=1).total_seconds())
        assert repository.firing(session, UUID(trigger["id"]), UUID(fired["id"])) is not None
        session.execute(text("UPDATE trigger_firings SET created_at = now() - interval '2 days'"))
        repository.forget(session, keep_seconds=timedelta(days=1).total_seconds())
    assert outcomes(api, trigger) == []
    assert fire(api, trigger, PLAIN).status_code == 201


def of_sweeps(body: dict[str, Any]) -> dict[str, Any]:
    """A trigger's fields that start this sweep of the event's model."""
    model = {"id": "${{ data.model }}", "revision": "a" * 40}
    return {"starts": "sweep", "template": body | {"name": "${{ event.id }}", "template": body["template"] | {"model": model}}}


def test_an_event_starts_one_sweep_whose_jobs_have_the_triggers_label(api: httpx.Client) -> None:
    trigger = create(api, **of_sweeps(GRID))
    assert (trigger["starts"], create(api)["starts"]) == ("sweep", "job")
    plan = fire(api, trigger, PLAIN, validate_only=True).json()
    assert plan["spec"]["template"]["model"]["id"] == "facebook/opt-125m"
    assert plan["spec"]["axes"] == GRID["axes"]
    assert (jobs(api), api.get("/v1/sweeps").json()["items"]) == ([], [])
    first, again = fire(api, trigger, PLAIN), fire(api, trigger, PLAIN)
    made = first.json()
    assert (first.status_code, made["job"], made["job_id"]) == (201, None, None)
    assert first.headers["location"] == again.headers["location"] == f"/v1/sweeps/{made['sweep_id']}"
    assert (made["sweep"]["id"], made["sweep"]["name"], made["sweep"]["points"]) == (made["sweep_id"], "run-17", 12)
    assert (again.status_code, again.json()) == (200, made)
    assert fire(api, trigger, PLAIN, validate_only=True).json()["duplicate_of"] == made["id"]
    (sweep,) = api.get("/v1/sweeps").json()["items"]
    assert sweep["labels"] == {"dsnot/trigger": trigger["id"]}
    labelled = api.get("/v1/jobs", params={"label.dsnot/trigger": trigger["id"], "limit": 50}).json()["items"]
    assert len(labelled) == 12
    logged = api.get(f"/v1/triggers/{trigger['id']}/firings").json()["items"]
    assert [(each["outcome"], each["sweep_id"]) for each in logged] == [("duplicate", sweep["id"]), ("fired", sweep["id"])]


def test_a_search_of_a_trigger_runs_to_its_answer_and_is_replayed(
    api: httpx.Client, database: Database, settings: Settings
) -> None:
    trigger = create(api, **of_sweeps(SEARCH))
    made = fire(api, trigger, PLAIN).json()
    ended = run_to_end(api, database, settings, made["sweep_id"])
    assert ended["search"]["end"] == "found"
    found = api.get("/v1/jobs", params={"sweep": made["sweep_id"]}).json()["items"]
    assert {job["labels"]["dsnot/trigger"] for job in found} == {trigger["id"]}
    assert fire(api, trigger, PLAIN).json()["sweep"]["search"] == ended["search"]
    replayed = api.post(f"/v1/triggers/{trigger['id']}/firings/{made['id']}/replay")
    assert replayed.status_code == 201
    assert replayed.json()["sweep_id"] not in (None, made["sweep_id"])
    assert api.delete(f"/v1/sweeps/{made['sweep_id']}").status_code == 204
    assert fire(api, trigger, PLAIN).json()["sweep"] is None


def test_a_sweep_beyond_the_queue_starts_no_job_and_does_not_consume_the_event(settings: Settings, database: Database) -> None:
    few = settings.model_copy(update={"max_queued_jobs": 5})
    with serving(few) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        trigger = create(api, **of_sweeps(GRID))
        assert problem(fire(api, trigger, PLAIN))[:2] == (429, "quota-exceeded")
        assert (jobs(api), api.get("/v1/sweeps").json()["items"]) == ([], [])
        fitting = of_sweeps(GRID | {"axes": {"/recipe/preset": ["fast", "best"]}})
        assert api.patch(f"/v1/triggers/{trigger['id']}", json=fitting).status_code == 200
        assert fire(api, trigger, PLAIN).json()["sweep"]["points"] == 2
        assert outcomes(api, trigger) == ["fired", "refused"]


def test_what_a_trigger_starts_changes_only_with_its_template(api: httpx.Client) -> None:
    trigger = create(api)
    path, fields = f"/v1/triggers/{trigger['id']}", of_sweeps(GRID)
    for half in ({"starts": "sweep"}, {"template": fields["template"]}):
        assert problem(api.patch(path, json=half))[:2] == (422, "invalid-input")
        assert api.get(path).json()["starts"] == "job"
    assert api.patch(path, json=fields).json()["starts"] == "sweep"
    assert problem(api.patch(path, json={"starts": "job"}))[:2] == (422, "invalid-input")
    assert api.get(path).json()["template"] == fields["template"]
    assert problem(api.post("/v1/triggers", json={"name": "t", **fields, "starts": "flow"}))[2] == ["/starts"]


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000"])
def test_a_template_that_makes_unstorable_names_is_refused_and_logged(api: httpx.Client, name: str) -> None:
    trigger = create(api, template={"model": {"id": "a"}, "labels": f"${{{{ {{\"{name}\": 'x'}} }}}}"})
    assert problem(fire(api, trigger, {"id": "1"}))[:2] == (422, "invalid-input")
    assert outcomes(api, trigger) == ["refused"]
