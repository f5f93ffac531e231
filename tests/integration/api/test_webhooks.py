"""Webhooks through the API: made, changed, refused, theirs alone."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.contract.webhooks import WebhookEvent
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.api_server import client, insert_job, key_for, problem, serving
from tests.support.webhooks import URL, create, deliveries

ENDS = ["job.succeeded", "job.failed", "job.cancelled", "job.expired"]


def test_a_webhook_is_created_with_a_secret_shown_once(api: httpx.Client) -> None:
    made = create(api, description="ours")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert (made["url"], made["events"], made["description"], made["enabled"]) == (URL, ENDS, "ours", True)
    assert api.get(f"/v1/webhooks/{made['id']}").json() == made
    assert api.get("/v1/webhooks").json() == {"items": [made], "next_cursor": None}


SLACK = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXaB3d"
SHOWN = "https://hooks.slack.com/…aB3d"


def test_a_webhook_sends_cloudevents_unless_it_has_another_format(api: httpx.Client) -> None:
    made = create(api)
    assert (made["format"], made["url"]) == ("dsnot", URL)


def test_no_response_has_the_path_of_a_chat_services_url(api: httpx.Client) -> None:
    made = create(api, url=SLACK, format="slack")
    path = f"/v1/webhooks/{made['id']}"
    assert (made["format"], made["url"], made["events"]) == ("slack", SHOWN, ENDS)
    moved = api.patch(path, json={"url": SLACK.replace("aB3d", "eF5g")})
    assert moved.json()["url"] == SHOWN.replace("aB3d", "eF5g")
    answers = [moved, api.get(path), api.get("/v1/webhooks"), api.post(f"{path}/rotate-secret"), api.post(f"{path}/test")]
    assert [each.status_code for each in answers] == [200, 200, 200, 200, 202]
    assert [each.url for each in answers if "T00000000" in each.text] == []


def test_a_shortened_url_is_refused(api: httpx.Client) -> None:
    made = create(api, url=SLACK, format="slack")
    for answer in (
        api.patch(f"/v1/webhooks/{made['id']}", json={"url": made["url"]}),
        api.post("/v1/webhooks", json={"url": made["url"], "format": "slack"}),
    ):
        assert problem(answer) == (422, "invalid-input", ["/url"])
        assert answer.json()["errors"][0]["detail"] == "is shortened as in lists; give the whole URL"


def test_an_unknown_format_and_a_change_of_the_format_are_refused(api: httpx.Client) -> None:
    made = create(api)
    unknown = api.post("/v1/webhooks", json={"url": URL, "format": "teams"})
    changed = api.patch(f"/v1/webhooks/{made['id']}", json={"format": "slack"})
    assert problem(unknown) == problem(changed) == (422, "invalid-input", ["/format"])
    assert unknown.json()["errors"][0]["detail"] == "must be 'dsnot' or 'slack'"
    assert changed.json()["errors"][0]["detail"].startswith("cannot be changed")
    assert [each["format"] for each in api.get("/v1/webhooks").json()["items"]] == ["dsnot"]


def test_no_secret_is_stored(api: httpx.Client, database: Database) -> None:
    made = create(api)
    rotated = api.post(f"/v1/webhooks/{made['id']}/rotate-secret").json()
    with database.begin() as session:
        rows = str(session.execute(text("SELECT * FROM webhooks")).all())
    for secret in (made["secret"], rotated["secret"]):
        assert secret.removeprefix("whsec_") not in rows


def test_rotation_returns_a_new_secret_and_the_overlap(api: httpx.Client) -> None:
    made = create(api)
    rotated = api.post(f"/v1/webhooks/{made['id']}/rotate-secret", json={"overlap_seconds": 60})
    assert rotated.status_code == 200
    assert rotated.json()["secret"] != made["secret"]
    assert rotated.json()["old_secret_until"] is not None
    default = api.post(f"/v1/webhooks/{made['id']}/rotate-secret").json()
    assert default["old_secret_until"] > rotated.json()["old_secret_until"]


def test_a_webhook_is_patched_field_by_field(api: httpx.Client) -> None:
    made = create(api)
    path = f"/v1/webhooks/{made['id']}"
    changed = api.patch(path, json={"url": "https://other.example/", "events": ["job.failed", "job.failed"]}).json()
    assert (changed["url"], changed["events"], changed["description"]) == ("https://other.example/", ["job.failed"], "")
    off = api.patch(path, json={"enabled": False}).json()
    assert (off["enabled"], off["disabled_because"], off["url"]) == (False, "switched off", "https://other.example/")
    on = api.patch(path, json={"enabled": True}).json()
    assert (on["enabled"], on["disabled_at"], on["disabled_because"]) == (True, None, None)
    assert "secret" not in on


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": 1}, "/url"),
        ({"url": "http://sink.example/"}, "/url"),
        ({"url": "https://10.0.0.1/"}, "/url"),
        ({"url": "https://user:pw@sink.example/"}, "/url"),
        ({"url": URL + "\0"}, ""),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "events": ["job.everything"]}, "/events/0"),
        ({"url": URL, "events": ["job.failed"] * (len(WebhookEvent) + 1)}, "/events"),
        ({"url": URL, "description": "x" * 257}, "/description"),
        ({"url": URL, "description": "a\nb"}, "/description"),
        ({"url": URL, "secret": "mine"}, "/secret"),
    ],
)
def test_errors_in_a_webhook_have_a_pointer(api: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    status, kind, pointers = problem(api.post("/v1/webhooks", json=body))
    assert (status, kind) in {(422, "invalid-input"), (400, "malformed-body")}
    assert pointer in [*pointers, ""]
    made = create(api)
    if ("url" in body and len(body) > 1) or body.get("url") not in (None, URL):
        assert problem(api.patch(f"/v1/webhooks/{made['id']}", json=body))[0] in (400, 422)
    assert len(api.get("/v1/webhooks").json()["items"]) == 1


def test_a_tenant_has_at_most_twenty_webhooks(api: httpx.Client) -> None:
    for _ in range(20):
        create(api)
    status, kind, _ = problem(api.post("/v1/webhooks", json={"url": URL}))
    assert (status, kind) == (409, "conflict")


ROUTES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/rotate-secret"),
    ("POST", "/test"),
    ("GET", "/deliveries"),
    ("POST", "/deliveries/{delivery}/replay"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_tenants_webhook_is_not_found(api: httpx.Client, database: Database, method: str, path: str) -> None:
    made = create(api)
    delivery = api.post(f"/v1/webhooks/{made['id']}/test").json()["id"]
    body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        address = f"/v1/webhooks/{made['id']}{path.format(delivery=delivery)}"
        assert problem(stranger.request(method, address, **body))[:2] == (404, "not-found")
        assert stranger.get("/v1/webhooks").json()["items"] == []
    unknown = f"/v1/webhooks/{uuid4()}{path.format(delivery=delivery)}"
    assert problem(api.request(method, unknown, **body))[:2] == (404, "not-found")


def test_read_only_keys_cannot_change_anything(api: httpx.Client, database: Database) -> None:
    made = create(api)
    with client(str(api.base_url), key_for(database, Scope.JOBS_READ)) as reader:
        assert reader.get(f"/v1/webhooks/{made['id']}/deliveries").status_code == 200
        assert problem(reader.post("/v1/webhooks", json={"url": URL}))[:2] == (403, "forbidden")
        assert problem(reader.delete(f"/v1/webhooks/{made['id']}"))[:2] == (403, "forbidden")


def test_an_event_makes_one_delivery_per_subscribed_webhook(api: httpx.Client, database: Database) -> None:
    ends, starts = create(api), create(api, events=["job.attempt_started"])
    off = create(api)
    api.patch(f"/v1/webhooks/{off['id']}", json={"enabled": False})
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        theirs = create(stranger)
        job_id = insert_job(database)
        with database.begin() as session:
            events.append(session, job_id, EventType.ATTEMPT_STARTED)
            events.append(session, job_id, EventType.BLOCK_PRUNED)
            events.append(session, job_id, EventType.SUCCEEDED)
        assert deliveries(stranger, theirs) == []
    assert [(each["type"], each["job_id"], each["state"]) for each in deliveries(api, ends)] == [
        ("job.succeeded", str(job_id), "pending")
    ]
    assert [each["type"] for each in deliveries(api, starts)] == ["job.attempt_started"]
    assert deliveries(api, off) == []


def test_a_rolled_back_event_is_not_delivered(api: httpx.Client, database: Database) -> None:
    made = create(api)
    job_id = insert_job(database)
    with database.begin() as session:
        events.append(session, job_id, EventType.SUCCEEDED)
        session.rollback()
    assert deliveries(api, made) == []


def test_the_log_is_paginated_and_filtered_by_state(api: httpx.Client) -> None:
    made = create(api)
    sent = [api.post(f"/v1/webhooks/{made['id']}/test").json()["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = api.get(f"/v1/webhooks/{made['id']}/deliveries", params=query).json()
        seen += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sent[::-1]
    assert deliveries(api, made, state="delivered") == []
    assert problem(api.get(f"/v1/webhooks/{made['id']}/deliveries", params={"cursor": "x"}))[0] == 422


def test_pending_deliveries_and_disabled_webhooks_do_not_replay(api: httpx.Client) -> None:
    made = create(api)
    path = f"/v1/webhooks/{made['id']}"
    delivery = api.post(f"{path}/test").json()["id"]
    assert problem(api.post(f"{path}/deliveries/{delivery}/replay"))[:2] == (409, "conflict")
    assert problem(api.post(f"{path}/deliveries/{uuid4()}/replay"))[:2] == (404, "not-found")
    api.patch(path, json={"enabled": False})
    assert deliveries(api, made)[0]["state"] == "failed"
    assert problem(api.post(f"{path}/test"))[:2] == (409, "conflict")
    assert problem(api.post(f"{path}/deliveries/{delivery}/replay"))[:2] == (409, "conflict")


def test_without_a_secret_key_the_service_creates_no_webhooks(settings: Settings, database: Database) -> None:
    with (
        serving(settings.model_copy(update={"secret_key": None})) as url,
        client(url, key_for(database, Scope.ADMIN)) as caller,
    ):
        answer = caller.post("/v1/webhooks", json={"url": URL})
        assert problem(answer)[:2] == (503, "unavailable")
        assert "DSNOT_SECRET_KEY" in answer.json()["detail"]


def test_a_delivery_has_its_message_and_the_log_filters_by_type(api: httpx.Client, database: Database) -> None:
    made = create(api)
    path = f"/v1/webhooks/{made['id']}/deliveries"
    sent = api.post(f"/v1/webhooks/{made['id']}/test").json()
    with database.begin() as session:
        events.append(session, insert_job(database, state=JobState.RUNNING), EventType.FAILED)
    assert api.get(f"{path}/{sent['id']}").json() == sent | {"body": None}
    with database.begin() as session:
        session.execute(text("UPDATE webhook_deliveries SET body = '{\"a\": 1}' WHERE id = :id"), {"id": sent["id"]})
    assert api.get(f"{path}/{sent['id']}").json()["body"] == '{"a": 1}'
    assert [each["type"] for each in deliveries(api, made, type="webhook.test")] == ["webhook.test"]
    assert [each["type"] for each in deliveries(api, made, type="job.failed")] == ["job.failed"]
    assert problem(api.get(path, params={"type": "job.unknown"}))[0] == 422
    assert api.get(f"{path}/{uuid4()}").status_code == 404
    assert api.get(f"/v1/webhooks/{create(api)['id']}/deliveries/{sent['id']}").status_code == 404
