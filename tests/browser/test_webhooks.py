"""People look after webhooks: made with a form, told for real, replayed, and watched without a reload."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook as Verifier

from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.api_server import insert_job
from tests.support.dashboard_jobs import HOSTILE
from tests.support.settling import settle
from tests.support.threads import dispatcher_threads
from tests.support.webhook_receiver import Sink, receiving
from tests.support.webhooks import create, deliveries


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """For development: receivers may be on this machine. One retry, at once."""
    changes = {"webhooks_may_be_local": True, "webhook_retry_seconds": (0.3,), "webhook_seconds": 2.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def dispatcher(settings: Settings, tmp_path: Path) -> Iterator[None]:
    with dispatcher_threads(settings):
        yield


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as found:
        yield found


def newest(page: Page) -> str:
    """The first row of the log."""
    return page.locator("#deliveries tbody tr").first.inner_text()


@pytest.mark.usefixtures("dispatcher")
def test_a_webhook_is_created_tested_fails_and_is_replayed(opened: Opening, sink: Sink) -> None:
    page = opened("/webhooks")
    expect(page.locator("#list")).to_contain_text("There are no webhooks yet")
    page.get_by_role("link", name="New webhook").click()
    page.get_by_label("URL").fill(sink.url)
    page.get_by_label("Description").fill("ours")
    page.get_by_label("job.expired").uncheck()
    page.get_by_label("job.created").check()
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_text("shown only once")).to_be_visible()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#secret-copied")).to_contain_text("cop")
    secret = page.locator("#secret-value").input_value()
    page.get_by_role("link", name="I have copied it").click()
    page.wait_for_url(lambda address: "new" not in address)
    expect(page.locator("h1")).to_have_text(sink.url)
    expect(page.locator("#status")).to_contain_text("job.created, job.succeeded, job.failed, job.cancelled")
    assert secret not in page.content()

    page.get_by_role("button", name="Send a test message").click()
    expect(page.locator("#deliveries .state.delivered")).to_have_count(1)
    assert "answered 200" in newest(page)
    assert Verifier(secret).verify(sink.got[0].body, sink.got[0].headers)["type"] == "webhook.test"

    sink.status = 500
    page.get_by_role("button", name="Send a test message").click()
    expect(page.locator("#deliveries .state.failed")).to_have_count(1)
    assert "answered 500" in newest(page)
    sink.status = 200
    page.locator("#deliveries tbody tr").first.get_by_role("button", name="Replay").click()
    expect(page.locator("#said")).to_have_text("The message is being sent again.")
    expect(page.locator("#deliveries .state.delivered")).to_have_count(2)
    assert sink.ids[1:] == [sink.ids[1]] * 3

    page.locator("#deliveries tbody tr").first.get_by_role("link", name="webhook.test").click()
    page.wait_for_url("**/deliveries/*")
    expect(page.locator("#status tbody tr")).to_have_count(3)
    expect(page.locator("#status tbody tr").first).to_contain_text("200")
    assert json.loads(page.locator("#message pre").inner_text()) == json.loads(sink.got[-1].body)
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#status tbody tr")).to_have_count(4)
    page.get_by_role("link", name="Webhooks", exact=True).first.click()
    expect(page.get_by_role("row", name=sink.url)).to_contain_text("delivered")


@pytest.mark.usefixtures("dispatcher")
def test_a_job_lists_the_webhooks_that_received_its_events(
    opened: Opening, api: httpx.Client, database: Database, sink: Sink
) -> None:
    sink.status = 503
    job = insert_job(database, state=JobState.RUNNING)
    page = opened(f"/jobs/{job}/events")
    expect(page.locator("#status .headline")).to_contain_text("running")
    assert "Webhook deliveries" not in page.content()
    create(api, url=sink.url, events=["job.paused"])
    tell(database, job)
    told = page.locator("#deliveries tbody tr")
    expect(told).to_contain_text(sink.url)
    expect(told.locator(".state.failed")).to_be_visible()
    expect(told).to_contain_text("answered 503")
    sink.status = 200
    told.get_by_role("button", name="Replay").click()
    expect(told.locator(".state.delivered")).to_be_visible()
    told.get_by_role("link", name="job.paused").click()
    expect(page.locator("#message pre")).to_contain_text(str(job))


def tell(database: Database, job: UUID) -> None:
    with database.begin() as session:
        events.append(session, job, EventType.PAUSED, {"why": HOSTILE})


def test_errors_are_shown_at_their_fields_and_input_is_kept(opened: Opening, api: httpx.Client) -> None:
    page = opened("/webhooks/new", excused="the server responded with a status of 422")
    address = page.get_by_label("URL")
    address.fill("ftp://sink.example")
    page.get_by_label("Description").fill("ours")
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Create webhook").click()
    expect(page.locator("#failure")).to_contain_text("Not saved")
    expect(page.get_by_label("job.created")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("job.failed").check()
    page.get_by_role("button", name="Create webhook").click()
    expect(address).to_have_attribute("aria-invalid", "true")
    expect(address).to_be_focused()
    assert "must begin with https://" in described(page)
    page.reload()
    expect(page.locator("#restored")).to_be_visible()
    expect(address).to_have_value("ftp://sink.example")
    assert page.get_by_role("checkbox", checked=True).count() == 1
    page.get_by_role("button", name="Discard draft").click()
    expect(address).to_have_value("")
    assert api.get("/v1/webhooks").json()["items"] == []


def described(page: Page) -> str:
    found: str = page.evaluate(
        """() => document.activeElement.getAttribute("aria-describedby").split(" ")
        .map((id) => document.getElementById(id).textContent).join(" ")"""
    )
    return found


def test_a_webhook_is_edited_disabled_rotated_and_deleted(opened: Opening, api: httpx.Client) -> None:
    made = create(api, url="https://sink.example/hook", description="ours")
    page = opened(f"/webhooks/{made['id']}")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("URL").fill("https://other.example/")
    page.get_by_label("Description").fill("")
    page.get_by_label("job.failed").uncheck()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(lambda address: "edit" not in address)
    expect(page.locator("h1")).to_have_text("https://other.example/")
    changed = api.get(f"/v1/webhooks/{made['id']}").json()
    assert (changed["description"], "job.failed" in changed["events"]) == ("", False)

    api.post(f"/v1/webhooks/{made['id']}/test")
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Disable it").click()
    expect(page.locator("#status")).to_contain_text("switched off")
    expect(page.locator("#deliveries .state.failed")).to_have_count(1)
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("#status .state.enabled")).to_be_visible()

    page.get_by_role("button", name="Rotate secret").click()
    expect(page.locator("#secret-overlap")).to_contain_text("The previous secret stays valid until")
    first = page.locator("#secret-value").input_value()
    page.get_by_label("Old secret stays valid for").select_option("no longer: revoke it now")
    page.get_by_role("button", name="Rotate secret").click()
    page.get_by_role("button", name="Revoke it now").click()
    expect(page.locator("#secret-value")).not_to_have_value(first)
    expect(page.locator("#secret-overlap")).to_be_hidden()

    page.get_by_role("button", name="Delete").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the webhook").click()
    page.wait_for_url("**/webhooks")
    assert api.get("/v1/webhooks").json()["items"] == []


def test_the_delivery_log_is_filtered_and_paged(opened: Opening, api: httpx.Client, database: Database) -> None:
    made = create(api, url="https://sink.example/hook", events=["job.paused"])
    for _ in range(60):
        api.post(f"/v1/webhooks/{made['id']}/test")
    tell(database, insert_job(database, state=JobState.RUNNING))
    page = opened(f"/webhooks/{made['id']}")
    rows = page.locator("#deliveries tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(len(deliveries(api, made, limit=100)) - 50)
    page.get_by_label("Event", exact=True).select_option("job.paused")
    expect(rows).to_have_count(1)
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.get_by_label("State").select_option("delivered")
    expect(page.locator("#deliveries")).to_contain_text("No messages match")


def test_an_open_webhook_page_shows_its_deletion(opened: Opening, api: httpx.Client) -> None:
    made = create(api, url="https://sink.example/hook")
    page = opened(f"/webhooks/{made['id']}", excused="404")
    api.delete(f"/v1/webhooks/{made['id']}")
    expect(page.locator("#connection")).to_contain_text("This webhook has been deleted")
    page.get_by_role("button", name="Send a test message").click()
    expect(page.locator("#failure")).to_contain_text("there is no webhook")


def test_a_webhook_is_created_and_tested_with_the_keyboard_alone(opened: Opening, api: httpx.Client) -> None:
    page = opened("/webhooks/new")
    reach(page, "", by="#f-url")
    page.keyboard.type("https://sink.example/hook")
    reach(page, "", by="#event-job\\.created")
    page.keyboard.press("Space")
    reach(page, "Create webhook")
    page.keyboard.press("Enter")
    expect(page.locator("#secret")).to_be_focused()
    reach(page, "I have copied it", by="a")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "new" not in address)
    reach(page, "Send a test message")
    page.keyboard.press("Enter")
    expect(page.locator("#deliveries tbody tr")).to_have_count(1)
    (made,) = api.get("/v1/webhooks").json()["items"]
    assert made["events"][0] == "job.created"


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
@pytest.mark.usefixtures("dispatcher")
def test_webhook_pages_are_accessible_and_execute_no_markup(
    opened: Opening, url: str, api: httpx.Client, database: Database, sink: Sink, size: str, scheme: str
) -> None:
    sink.status = 500
    made = create(api, url=f"{sink.url}?{'long' * 40}<script>alert(1)</script>", events=["job.paused"], description=HOSTILE)
    off = create(api, url="https://sink.example/", description=HOSTILE)
    chat = create(api, url=f"https://hooks.example/{'long' * 40}", format="slack", description=HOSTILE)
    api.patch(f"/v1/webhooks/{off['id']}", json={"enabled": False})
    job = insert_job(database, state=JobState.RUNNING)
    tell(database, job)
    page = opened(f"/webhooks/{made['id']}", size=size, scheme=scheme)
    expect(page.locator("#deliveries .state.failed")).to_have_count(1)
    (delivery,) = deliveries(api, made)
    here = f"/webhooks/{made['id']}"
    for path in (
        "/webhooks", "/webhooks/new", here, f"/webhooks/{off['id']}", f"{here}/edit", f"/webhooks/{chat['id']}/edit",
        f"{here}/deliveries/{delivery['id']}",
        f"/jobs/{job}/events",
    ):  # fmt: skip
        page.goto(f"{url}{path}")
        settle(page)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
    page.goto(f"{url}{here}")
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.locator("#secret")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
