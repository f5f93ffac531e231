"""The pages of webhooks and triggers by HTTP: what they show and to whom, and how much work they take."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert

from service.contract.devices import DeviceClass
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.contract.triggers import FiringOutcome
from service.contract.webhooks import DeliveryState, WebhookEvent
from service.database.engine import Database
from service.database.tables.triggers import Firing
from service.database.tables.webhooks import Delivery, DeliveryAttempt
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support import triggers, webhooks
from tests.support.api_server import insert_job, key_for
from tests.support.browsing import browser, sign_in
from tests.support.dashboard_jobs import HOSTILE, finished_job
from tests.support.html_pages import SCRIPTLESS, Parsed
from tests.support.statements import analyse, assert_bounded_work
from tests.support.sweep_points import GRID
from tests.support.trigger_events import PLAIN

MANY = 10_000


@contextmanager
def visiting(url: str, database: Database, *scopes: Scope, tenant: str = "acme") -> Iterator[httpx.Client]:
    """Somebody who has signed in with such a key."""
    with browser(url) as opened:
        sign_in(opened, key_for(database, *scopes, tenant=tenant))
        yield opened


@pytest.fixture
def visitor(url: str, database: Database) -> Iterator[httpx.Client]:
    with visiting(url, database, Scope.JOBS_READ, Scope.JOBS_WRITE) as opened:
        yield opened


def add_deliveries(database: Database, webhook: dict[str, Any], job_id: UUID, count: int) -> None:
    """As a webhook has them after a busy week, each tried twice; what they hold is long."""
    now, states, types = datetime.now(UTC), list(DeliveryState), list(WebhookEvent)
    rows: list[dict[str, Any]] = [
        {
            "id": UUID(int=number + 1),
            "webhook_id": UUID(webhook["id"]),
            "type": types[number % len(types)],
            "job_id": job_id,
            "seq": number,
            "body": '{"data": "' + "x" * 8000 + '"}',
            "state": states[number % len(states)],
            "attempts": 2,
            "created_at": now - timedelta(minutes=number),
        }
        for number in range(count)
    ]
    tries = [
        {"delivery_id": row["id"], "number": number, "seconds": 0.2, "status": 500, "error": "answered 500"}
        for row in rows
        for number in (1, 2)
    ]
    with database.begin() as session:
        session.execute(insert(Delivery), rows)
        session.execute(insert(DeliveryAttempt), tries)


def add_firings(database: Database, trigger: dict[str, Any], count: int) -> None:
    now, outcomes = datetime.now(UTC), list(FiringOutcome)
    document = {"event": {"kind": "json", "id": "x"}, "data": {"text": "x" * 8000}}
    rows: list[dict[str, Any]] = [
        {
            "trigger_id": UUID(trigger["id"]),
            "kind": "json",
            "event_id": f"run-{number}",
            "outcome": outcomes[number % len(outcomes)],
            "event": document,
            "created_at": now - timedelta(minutes=number),
        }
        for number in range(count)
    ]
    with database.begin() as session:
        session.execute(insert(Firing), rows)


def test_pages_of_ten_thousand_messages_take_few_queries(visitor: httpx.Client, api: httpx.Client, database: Database) -> None:
    job_id = finished_job(database)
    webhook, trigger = webhooks.create(api), triggers.create(api)
    add_deliveries(database, webhook, job_id, MANY)
    add_firings(database, trigger, MANY)
    analyse(database)
    there, here = f"/webhooks/{webhook['id']}", f"/triggers/{trigger['id']}"
    for path in (
        "/webhooks", there, f"{there}?state=failed&type=job.failed", f"{there}/deliveries/{UUID(int=1)}",
        "/triggers", here, f"{here}?outcome=refused", f"/jobs/{job_id}/events",
    ):  # fmt: skip
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert len(answer.content) < 300_000, path
        assert_bounded_work(lambda: visitor.get(path), database)  # noqa: B023
    words = " ".join(Parsed(visitor.get("/webhooks").text).text.split())
    assert f"{MANY // 3 + 1:,} {MANY // 3:,}" in words  # pending, failed: all of the last seven days
    words = " ".join(Parsed(visitor.get("/triggers").text).text.split())
    assert f"{MANY:,} {MANY // 5:,} {2 * MANY // 5:,}" in words


def test_every_page_of_a_log_is_listed_once(visitor: httpx.Client, api: httpx.Client, database: Database) -> None:
    webhook = webhooks.create(api)
    add_deliveries(database, webhook, insert_job(database), 120)
    seen, address = [], f"/webhooks/{webhook['id']}?state=failed"
    while address:
        links = Parsed(visitor.get(address).text).all("a")
        seen += [link["id"] for link in links if str(link.get("id", "")).startswith("open-")]
        address = next((str(link["href"]) for link in links if link.get("id") == "older"), "")
    assert len(seen) == len(set(seen)) == 40
    everything = Parsed(visitor.get(f"/webhooks/{webhook['id']}?state=nonsense&type=nonsense").text).all("a")
    assert len([link for link in everything if str(link.get("id", "")).startswith("open-")]) == 50
    assert visitor.get(f"/webhooks/{webhook['id']}?cursor=nonsense").status_code == 422


def paths(api: httpx.Client, database: Database) -> list[str]:
    """Every page, of objects with hostile names."""
    webhook = webhooks.create(api, url="https://sink.example/<script>", description=HOSTILE)
    trigger = triggers.create(api, name=HOSTILE, description=HOSTILE)
    triggers.fire(api, trigger, {"id": HOSTILE, "model": HOSTILE})
    triggers.fire(api, trigger, PLAIN)
    firings = [each["id"] for each in api.get(f"/v1/triggers/{trigger['id']}/firings").json()["items"]]
    job_id = insert_job(database, state=JobState.SUCCEEDED, model=HOSTILE)
    add_deliveries(database, webhook, job_id, 3)
    there, here = f"/webhooks/{webhook['id']}", f"/triggers/{trigger['id']}"
    return [
        "/webhooks", "/triggers", there, here, f"{there}/deliveries/{UUID(int=1)}", f"/jobs/{job_id}/events",
        *(f"{here}/firings/{each}" for each in firings),
    ]  # fmt: skip


def test_markup_in_names_is_not_executed(visitor: httpx.Client, api: httpx.Client, database: Database) -> None:
    for path in ["/webhooks/new", "/triggers/new", *paths(api, database)]:
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == SCRIPTLESS
        page = Parsed(answer.text)
        assert [image for image in page.all("img") if image["src"] == "x"] == []
        assert all(str(script.get("src")).startswith("/static/") for script in page.all("script")), path
        assert not any(name.startswith("on") or name == "style" for _, attributes in page.elements for name in attributes)


def test_read_only_sessions_are_offered_no_actions(url: str, api: httpx.Client, database: Database) -> None:
    shown = paths(api, database)
    with visiting(url, database, Scope.JOBS_READ) as reader:
        for path in shown:
            page = Parsed(reader.get(path).text)
            assert {"/webhooks", "/triggers"} <= {link.get("href") for link in page.all("a")}
            assert [each for each in page.all("button") if "data-path" in each] == [], path
            assert [each for each in page.all("form") if "data-path" in each] == [], path
            assert [each for each in page.all("a") if str(each.get("href")).endswith(("/new", "/edit"))] == [], path
        for path in ("/webhooks/new", "/triggers/new", f"{shown[2]}/edit", f"{shown[3]}/edit"):
            answer = reader.get(path)
            assert (answer.status_code, "jobs:write" in answer.text) == (403, True)


def test_objects_of_another_tenant_are_not_found(url: str, api: httpx.Client, database: Database) -> None:
    shown = paths(api, database)
    with visiting(url, database, Scope.ADMIN, tenant="other") as stranger:
        for path in shown[:2]:
            assert "yet" in stranger.get(path).text
        for path in [*shown[2:], f"{shown[2]}/edit", f"{shown[3]}/edit", f"/webhooks/{uuid4()}", f"/triggers/{uuid4()}"]:
            assert stranger.get(path).status_code == 404, path


def test_actions_the_state_forbids_are_not_offered(visitor: httpx.Client, api: httpx.Client, database: Database) -> None:
    webhook, trigger = webhooks.create(api), triggers.create(api)
    add_deliveries(database, webhook, insert_job(database), 3)
    triggers.fire(api, trigger, PLAIN)
    triggers.fire(api, trigger, PLAIN)
    there, here = f"/webhooks/{webhook['id']}", f"/triggers/{trigger['id']}"
    assert len(replays(visitor, there)) == 2  # not of the one that is pending
    assert len(replays(visitor, here)) == 1  # not of the duplicate
    for path in (there, here):
        api.patch(f"/v1{path}", json={"enabled": False})
        assert replays(visitor, path) == []


def test_the_overview_shows_results_with_verdicts_and_what_needs_attention(
    visitor: httpx.Client, api: httpx.Client, database: Database
) -> None:
    job_id = finished_job(database)
    assert "Nothing. No job failed in the last seven days." in words(Parsed(visitor.get("/").text))
    identity = Identity("b:1", "host", DeviceClass.CPU, "x", None, 1, {"device_problem": "old driver"})
    with database.begin() as session:
        workers.started(session, identity, Usage(1, 1))
    webhook = webhooks.create(api)
    add_deliveries(database, webhook, job_id, 1)
    page = Parsed(visitor.get("/").text)
    for part in (
        "Severe loss × 1.76", "Worker b:1 does not use its GPU: old driver.", "Worker b:1 has 1 B of free disk.",
        "A webhook does not accept messages: HTTP status 500.",
    ):  # fmt: skip
        assert part in words(page), part
    assert f"/webhooks/{webhook['id']}" in [link.get("href") for link in page.all("a")]
    listed = words(Parsed(visitor.get("/webhooks").text))
    assert "1 of 1 endpoint does not accept messages" in listed
    assert "failing HTTP status 500" in listed


def words(page: Parsed) -> str:
    return " ".join(page.text.split())


def replays(visitor: httpx.Client, path: str) -> list[str]:
    buttons = Parsed(visitor.get(path).text).all("button")
    return [str(each["id"]) for each in buttons if str(each.get("id", "")).startswith("replay-")]


def test_a_job_without_deliveries_has_no_section_of_them(visitor: httpx.Client, api: httpx.Client, database: Database) -> None:
    webhook = webhooks.create(api)
    without, with_some = insert_job(database), insert_job(database)
    add_deliveries(database, webhook, with_some, 1)
    assert "Webhook deliveries" not in visitor.get(f"/jobs/{without}/events").text
    assert webhooks.URL in visitor.get(f"/jobs/{with_some}/events").text


def test_messages_and_events_of_a_sweep_link_to_it(visitor: httpx.Client, api: httpx.Client) -> None:
    webhook = webhooks.create(api, events=["sweep.created"])
    trigger = triggers.create(api, starts="sweep", template=GRID)
    fired = triggers.fire(api, trigger, PLAIN).json()
    triggers.fire(api, trigger, PLAIN)
    (delivery,) = webhooks.deliveries(api, webhook)
    here, there = f"/triggers/{trigger['id']}", f"/webhooks/{webhook['id']}"
    for path in (f"{here}/firings/{fired['id']}", here, there, f"{there}/deliveries/{delivery['id']}"):
        links = [link["href"] for link in Parsed(visitor.get(path).text).all("a")]
        assert links.count(f"/sweeps/{fired['sweep_id']}") == (2 if path == here else 1), path
    assert "Sweep template" in visitor.get(here).text
    chosen = {each["value"] for each in Parsed(visitor.get(f"{here}/edit").text).all("option") if "selected" in each}
    assert chosen == {"any", "sweep"}
    assert "starts sweeps" in visitor.get("/triggers").text
