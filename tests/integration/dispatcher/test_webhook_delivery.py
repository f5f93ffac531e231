"""What a receiver gets, whatever it does."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.dispatcher.garbage_collection import GarbageCollector
from service.embedded.processes import free_port
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support import fork_server
from tests.support.api_server import client, insert_job, key_for, serving, set_job
from tests.support.processes import dispatching
from tests.support.sweep_points import GRID, SEARCH, end_job, run_to_end
from tests.support.threads import dispatcher_threads
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Sink, receiving
from tests.support.webhooks import create, deliveries

RETRIES = (0.3, 0.3, 0.3, 0.3)


@pytest.fixture
def local(settings: Settings) -> Settings:
    """For development, impatient."""
    changes = {"webhooks_may_be_local": True, "webhook_retry_seconds": RETRIES, "webhook_seconds": 1.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def api(local: Settings, database: Database) -> Iterator[httpx.Client]:
    with serving(local) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


@pytest.fixture
def dispatcher(local: Settings) -> Iterator[None]:
    with dispatcher_threads(local):
        yield


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as found:
        yield found


def tell(database: Database, kind: EventType = EventType.SUCCEEDED) -> UUID:
    """A job, and an event of it."""
    job_id = insert_job(database, state=JobState.RUNNING)
    with database.begin() as session:
        events.append(session, job_id, kind, {"why": "Grüße"})
    return job_id


def settled(api: httpx.Client, made: dict[str, Any]) -> dict[str, Any]:
    """The only delivery, once it is not pending."""

    def look() -> dict[str, Any]:
        (found,) = deliveries(api, made)
        return found if found["state"] != "pending" else {}

    return eventually(look)


@pytest.mark.usefixtures("dispatcher")
def test_a_message_is_a_signed_webhook_and_a_cloudevent(api: httpx.Client, database: Database, sink: Sink) -> None:
    made = create(api, url=sink.url)
    job_id = tell(database)
    delivery = settled(api, made)
    (got,) = sink.got
    assert Verifier(made["secret"]).verify(got.body, got.headers)["data"]["event"] == {
        "seq": 1,
        "type": "succeeded",
        "data": {"why": "Grüße"},
    }
    event = JSONFormat().read(CloudEvent, got.body)
    assert (event.get_id(), event.get_type(), event.get_subject()) == (got.id, "job.succeeded", str(job_id))
    assert event.get_source() == f"/v1/jobs/{job_id}"
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    message = json.loads(got.body)
    assert message["timestamp"] == message["time"]
    assert message["data"]["job"]["id"] == str(job_id)
    assert (delivery["id"], delivery["state"], delivery["attempts"][0]["status"]) == (got.id, "delivered", 200)


SWEEP_EVENTS = ["sweep.created", "sweep.point_ended", "sweep.finished", "sweep.failed", "sweep.cancelled"]


def sweep_messages(api: httpx.Client, sink: Sink, made: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages about a sweep with this body, verified, in the order of its events, once all are delivered."""
    eventually(lambda: not [each for each in deliveries(api, made, limit=100) if each["state"] == "pending"])
    assert len({got.id for got in sink.got}) == len(sink.got) == len(deliveries(api, made, limit=100))
    found = [Verifier(made["secret"]).verify(got.body, got.headers) for got in sink.got]
    for message in found:
        sweep = message["data"]["sweep"]
        assert (message["source"], message["subject"]) == (f"/v1/sweeps/{sweep['id']}", sweep["id"])
        assert "table" not in sweep
        assert sweep["spec"].get("axes") == body.get("axes")
    return sorted(found, key=lambda each: int(each["data"]["event"]["seq"]))


@pytest.mark.usefixtures("dispatcher")
def test_a_search_sends_its_points_and_its_answer(api: httpx.Client, local: Settings, database: Database, sink: Sink) -> None:
    made = create(api, url=sink.url, events=SWEEP_EVENTS)
    sweep = api.post("/v1/sweeps", json=SEARCH).json()
    ended = run_to_end(api, database, local, sweep["id"])
    messages = sweep_messages(api, sink, made, SEARCH)
    assert [each["type"] for each in messages] == ["sweep.created", *["sweep.point_ended"] * ended["points"], "sweep.finished"]
    point, last = messages[1]["data"]["event"]["data"], messages[-1]["data"]
    assert (point["position"], point["state"], point["values"]) == (0, "succeeded", ended["table"][0]["values"])
    assert last["sweep"] == {name: ended[name] for name in last["sweep"]}
    assert last["sweep"]["search"]["text"] == ended["search"]["text"] != ""
    answer = next(each for each in ended["table"] if each["position"] == ended["search"]["answer"]["position"])
    assert last["event"]["data"] == {
        "end": "found", "job_id": answer["job_id"], "position": answer["position"], "values": answer["values"],
    }  # fmt: skip
    assert {each["sweep_id"] for each in deliveries(api, made, limit=100)} == {sweep["id"]}


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@pytest.mark.usefixtures("dispatcher")
def test_the_end_of_an_unsuccessful_sweep_is_sent(
    api: httpx.Client, local: Settings, database: Database, sink: Sink, end: str
) -> None:
    made = create(api, url=sink.url, events=[f"sweep.{end}"])
    body = GRID | {"axes": {"/recipe/preset": ["fast", "best"]}}
    sweep = api.post("/v1/sweeps", json=body).json()
    if end == "failed":
        end_job(database, UUID(sweep["table"][0]["job_id"]), state=JobState.FAILED)
    else:
        api.post(f"/v1/sweeps/{sweep['id']}/cancel")
    run_to_end(api, database, local, sweep["id"])
    (message,) = sweep_messages(api, sink, made, body)
    assert (message["type"], message["data"]["sweep"]["state"]) == (f"sweep.{end}", end)
    assert message["data"]["sweep"]["jobs"] == ({"failed": 1, "succeeded": 1} if end == "failed" else {"cancelled": 2})


@pytest.mark.usefixtures("dispatcher")
def test_a_recovered_receiver_gets_each_message_once_in_order(api: httpx.Client, database: Database) -> None:
    port = free_port()
    made = create(api, url=f"http://127.0.0.1:{port}/hook", events=["job.succeeded"])
    jobs = [str(tell(database)) for _ in range(5)]
    eventually(lambda: deliveries(api, made)[-1]["attempts"])
    with receiving(port) as sink:
        eventually(lambda: len(deliveries(api, made, state="delivered")) == 5)
    assert sorted(json.loads(got.body)["subject"] for got in sink.got) == sorted(jobs)
    first = deliveries(api, made)[-1]["attempts"]
    assert first[0]["error"] == "no answer: connection refused"
    assert (first[-1]["status"], first[-1]["error"]) == (200, None)


def test_retries_keep_id_and_body_until_the_last_one_fails(
    api: httpx.Client, local: Settings, database: Database, sink: Sink, tmp_path: Path
) -> None:
    sink.status = 500
    made = create(api, url=sink.url)
    job_id = tell(database)
    with dispatching(local, tmp_path):
        check_every_attempt(api, database, sink, made, job_id)
    assert made["secret"] not in (tmp_path / "dispatcher.log").read_text()


def check_every_attempt(api: httpx.Client, database: Database, sink: Sink, made: dict[str, Any], job_id: UUID) -> None:
    eventually(lambda: sink.got)
    set_job(database, job_id, stage="pruning")  # what has changed since is not told
    delivery = settled(api, made)
    assert delivery["state"] == "failed"
    assert [each["status"] for each in delivery["attempts"]] == [500] * (len(RETRIES) + 1)
    assert {(got.id, got.body) for got in sink.got} == {(delivery["id"], sink.got[0].body)}
    sink.status = 200
    again = api.post(f"/v1/webhooks/{made['id']}/deliveries/{delivery['id']}/replay")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    replayed = settled(api, made)
    assert (replayed["state"], len(replayed["attempts"])) == ("delivered", len(RETRIES) + 2)
    assert sink.got[-1].id == delivery["id"]


@pytest.mark.usefixtures("dispatcher")
def test_a_slow_receiver_does_not_delay_others(api: httpx.Client, database: Database, sink: Sink) -> None:
    with receiving() as slow:
        slow.free.clear()
        hanging, other = create(api, url=slow.url), create(api, url=sink.url)
        for _ in range(12):
            tell(database)
        eventually(lambda: len(deliveries(api, other, state="delivered", limit=100)) == 12)
        found = eventually(lambda: [each for each in deliveries(api, hanging) if each["attempts"]])
        assert found[-1]["attempts"][0]["error"] == "no complete answer within 1 s"


def test_one_tenants_hanging_receivers_get_a_share_of_the_threads(
    api: httpx.Client, local: Settings, database: Database, sink: Sink
) -> None:
    with receiving() as slow, ExitStack() as others, serving(local) as url:
        slow.free.clear()
        elsewhere = [others.enter_context(receiving()) for _ in range(4)]
        for receiver in elsewhere:
            receiver.free.clear()
        for number in range(20):
            create(api, url=f"{[slow, *elsewhere][number % 5].url}/{number}")
        tell(database)
        with client(url, key_for(database, Scope.ADMIN, tenant="other")) as stranger:
            made = create(stranger, url=sink.url)
            stranger.post(f"/v1/webhooks/{made['id']}/test")
            with dispatcher_threads(local.model_copy(update={"webhook_seconds": 600.0})):
                assert settled(stranger, made)["state"] == "delivered"
                assert sum(len(each.got) for each in [slow, *elsewhere]) <= 4
                slow.free.set()
                for receiver in elsewhere:
                    receiver.free.set()


def test_an_endpoint_that_times_out_three_times_waits_without_losing_attempts(
    api: httpx.Client, local: Settings, database: Database, sink: Sink
) -> None:
    sink.free.clear()
    made = create(api, url=sink.url)
    tell(database)
    with dispatcher_threads(local.model_copy(update={"webhook_seconds": 0.2})):
        eventually(lambda: len(deliveries(api, made)[0]["attempts"]) == 3)
        tell(database)

        def waiting() -> list[dict[str, Any]]:
            limit = datetime.now(UTC) + timedelta(seconds=15)
            found = [each for each in deliveries(api, made) if each["next_attempt_at"]]
            return [each for each in found if datetime.fromisoformat(each["next_attempt_at"]) > limit]

        eventually(lambda: len(waiting()) == 2)
        assert sorted(len(each["attempts"]) for each in waiting()) == [0, 3]
    sink.free.set()


@pytest.mark.usefixtures("dispatcher")
def test_a_redirect_is_not_followed(api: httpx.Client, database: Database, sink: Sink) -> None:
    with receiving() as elsewhere:
        sink.status, sink.more_headers = 307, {"Location": elsewhere.url}
        made = create(api, url=sink.url)
        tell(database)
        delivery = settled(api, made)
    assert delivery["attempts"][0]["error"] == "answered 307; redirects are not followed"
    assert elsewhere.got == []


@pytest.mark.usefixtures("dispatcher")
def test_a_receiver_that_answers_410_is_disabled(api: httpx.Client, database: Database, sink: Sink) -> None:
    sink.status = 410
    made = create(api, url=sink.url)
    tell(database)
    assert settled(api, made)["state"] == "failed"
    shown = api.get(f"/v1/webhooks/{made['id']}").json()
    assert (shown["enabled"], "410" in shown["disabled_because"]) == (False, True)
    tell(database)
    assert len(deliveries(api, made)) == len(sink.got) == 1


@pytest.mark.usefixtures("dispatcher")
def test_retry_after_of_a_receiver_is_respected(api: httpx.Client, database: Database, sink: Sink) -> None:
    sink.status, sink.more_headers = 429, {"Retry-After": "2"}
    made = create(api, url=sink.url)
    tell(database)
    eventually(lambda: sink.got)
    sink.status = 200
    settled(api, made)
    first, second = sink.got
    assert second.at - first.at >= 1.9


@pytest.mark.usefixtures("dispatcher")
def test_messages_verify_with_both_secrets_in_the_overlap_only(api: httpx.Client, sink: Sink) -> None:
    made = create(api, url=sink.url)
    path = f"/v1/webhooks/{made['id']}"
    new = api.post(f"{path}/rotate-secret", json={"overlap_seconds": 60}).json()["secret"]
    api.post(f"{path}/test")
    eventually(lambda: len(sink.got) == 1)
    newest = api.post(f"{path}/rotate-secret", json={"overlap_seconds": 0}).json()["secret"]
    api.post(f"{path}/test")
    eventually(lambda: len(sink.got) == 2)
    during, after = sink.got
    for secret in (made["secret"], new):
        assert Verifier(secret).verify(during.body, during.headers)["type"] == "webhook.test"
    assert Verifier(newest).verify(after.body, after.headers)["data"] == {}
    with pytest.raises(WebhookVerificationError):
        Verifier(new).verify(after.body, after.headers)


def test_a_development_target_is_refused_in_production(
    api: httpx.Client, local: Settings, database: Database, sink: Sink, tmp_path: Path
) -> None:
    made = create(api, url=sink.url)
    tell(database)
    with dispatcher_threads(local.model_copy(update={"webhooks_may_be_local": False})):
        found = eventually(lambda: deliveries(api, made)[0]["attempts"])
    assert found[0]["error"] == "not sent: must begin with https://"
    assert sink.got == []


def test_the_delivery_log_expires(api: httpx.Client, local: Settings, database: Database) -> None:
    made = create(api)
    tell(database)
    api.patch(f"/v1/webhooks/{made['id']}", json={"enabled": False})
    GarbageCollector(local).sweep()
    assert len(deliveries(api, made)) == 1
    GarbageCollector(local.model_copy(update={"keep_deliveries_seconds": 0.0})).sweep()
    assert deliveries(api, made) == []


@pytest.mark.usefixtures("dispatcher")
def test_the_command_creates_tests_shows_and_deletes_a_webhook(
    local: Settings, database: Database, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dsnot(*arguments: str) -> str:
        done = fork_server.run(["service.cli", "webhooks", *arguments], os.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with serving(local) as url:
        monkeypatch.setenv("DSNOT_URL", url)
        monkeypatch.setenv("DSNOT_API_KEY", key_for(database, Scope.ADMIN))
        secret = dsnot("create", sink.url, "--event", "job.failed", "--description", "ours").strip()
        (listed,) = [json.loads(line) for line in dsnot("list", "--json").splitlines()]
        assert (listed["events"], listed["enabled"]) == (["job.failed"], True)
        sent = json.loads(dsnot("test", listed["id"], "--json"))
        eventually(lambda: sink.got)
        assert Verifier(secret).verify(sink.got[0].body, sink.got[0].headers)["type"] == "webhook.test"
        eventually(lambda: "delivered" in dsnot("deliveries", listed["id"]))
        assert dsnot("message", listed["id"], sent["id"]).rstrip("\n").encode() == sink.got[0].body
        assert dsnot("deliveries", listed["id"], "--type", "job.failed", "--json") == ""
        assert json.loads(dsnot("replay", listed["id"], sent["id"], "--json"))["state"] == "pending"
        eventually(lambda: len(sink.got) == 2)
        assert dsnot("rotate", listed["id"], "--overlap", "0").startswith("whsec_")
        dsnot("delete", listed["id"])
        assert dsnot("list", "--json") == ""
        dsnot("create", f"{sink.url}/T00000000/a-path-that-authorises", "--format", "slack")
        assert json.loads(dsnot("list", "--json"))["format"] == "slack"
        assert "slack" in dsnot("list")
        assert "T00000000" not in dsnot("list") + dsnot("list", "--json")
        refused = fork_server.run(["service.cli", "webhooks", "create", sink.url, "--format", "teams"], os.environ)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "format: must be 'dsnot' or 'slack'" in refused.stderr
