"""People send messages to a chat: the webhook's form and pages, none of which shows the path of its URL."""

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.threads import dispatcher_threads
from tests.support.webhook_receiver import Sink, receiving


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """For development: receivers may be on this machine."""
    return settings.model_copy(update={"webhooks_may_be_local": True, "webhook_seconds": 2.0})


@pytest.fixture
def dispatcher(settings: Settings) -> Iterator[None]:
    with dispatcher_threads(settings):
        yield


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as found:
        yield found


@pytest.mark.usefixtures("dispatcher")
def test_a_chat_webhook_is_created_edited_and_tested_and_its_path_is_never_shown(
    opened: Opening, url: str, api: httpx.Client, sink: Sink
) -> None:
    page = opened("/webhooks/new")
    expect(page.get_by_label("Format")).to_have_value("dsnot")
    page.get_by_label("Format").select_option(label="Chat message, for Slack, Mattermost, Rocket.Chat, Discord")
    page.get_by_label("URL").fill(f"{sink.url}/services/T00000000/B00000000")
    page.get_by_label("sweep.finished").check()
    page.get_by_role("button", name="Create webhook").click()
    page.wait_for_url(lambda address: "new" not in address)
    shown = f"{sink.url.removesuffix('/hook')}/…0000"
    expect(page.locator("h1")).to_have_text(shown)
    expect(page.locator("#status")).to_contain_text("Chat message")
    page.get_by_role("button", name="Send a test message").click()
    expect(page.locator("#deliveries .state.delivered")).to_have_count(1)
    page.locator("#deliveries tbody tr").first.get_by_role("link", name="webhook.test").click()
    page.wait_for_url("**/deliveries/*")
    assert json.loads(page.locator("#message pre").inner_text()) == json.loads(sink.got[0].body)
    (made,) = api.get("/v1/webhooks").json()["items"]
    here = f"/webhooks/{made['id']}"
    for path in ("/webhooks", here, f"{here}/edit", page.url.removeprefix(url)):
        page.goto(f"{url}{path}")
        expect(page.get_by_text(shown).first).to_be_visible()
        assert "T00000000" not in page.content(), path

    page.goto(f"{url}/webhooks")
    expect(page.get_by_role("row", name=shown)).to_contain_text("chat messages")
    page.goto(f"{url}{here}/edit")
    expect(page.get_by_label("URL")).to_have_value("")
    expect(page.get_by_label("Format")).to_have_count(0)
    page.get_by_label("Description").fill("team")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(lambda address: "edit" not in address)
    page.get_by_role("button", name="Send a test message").click()
    expect(page.locator("#deliveries .state.delivered")).to_have_count(2)
    assert api.get(f"/v1/webhooks/{made['id']}").json()["description"] == "team"


def test_a_url_copied_from_a_list_is_refused_at_its_field(opened: Opening, api: httpx.Client) -> None:
    page = opened("/webhooks/new", excused="the server responded with a status of 422")
    page.get_by_label("Format").select_option("slack")
    page.get_by_label("URL").fill("https://hooks.slack.com/…aB3d")
    page.get_by_role("button", name="Create webhook").click()
    expect(page.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#hook")).to_contain_text("is shortened as in lists; give the whole URL")
    expect(page.get_by_label("Format")).to_have_value("slack")
    assert api.get("/v1/webhooks").json()["items"] == []
