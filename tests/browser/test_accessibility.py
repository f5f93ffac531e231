"""Everybody can use the pages: with the keyboard alone, on a phone, in the dark, with a screen reader."""

import pytest
from playwright.sync_api import Browser, expect

from service.contract.states import JobState
from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.api_server import insert_job
from tests.support.dashboard_jobs import HOSTILE, finished_job
from tests.support.settling import settle


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_pages_are_accessible_and_never_wider_than_the_screen(
    opened: Opening, url: str, database: Database, size: str, scheme: str
) -> None:
    labels, progress = {"team": "search"}, {"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 54.2}
    insert_job(database, model="meta-llama/Llama-3.1-8B", labels=labels)
    running = insert_job(database, state=JobState.RUNNING, stage="pruning", progress=progress)
    error = {"code": "out-of-device-memory", "detail": "The device ran out of memory.", "retryable": False}
    failed = finished_job(database, state=JobState.FAILED, error=error, model=HOSTILE * 3)
    finished = finished_job(database)
    page = opened("/", size=size, scheme=scheme, excused="the server responded with a status of 4")
    broken: dict[str, list[str]] = {}
    for path in (
        "/",
        "/jobs",
        "/jobs?label=wrong",
        "/jobs/new",
        "/workers",
        "/datasets",
        "/models",
        "/keys",
        "/audit",
        "/audit?key_id=wrong&created_after=wrong",
        f"/jobs/{running}",
        *(f"/jobs/{failed}{tab}" for tab in ("", "/layers", "/events", "/files", "/config")),
        f"/jobs/{finished}",
        f"/jobs/{finished}/samples",
        "/nowhere",
        "/sign-in",
        "/docs",
    ):
        page.goto(f"{url}{path}")
        settle(page)
        broken[path] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
    assert {path: found for path, found in broken.items() if found} == {}


def test_every_action_works_with_the_keyboard_alone(chromium: Browser, url: str, key: str, database: Database) -> None:
    job = insert_job(database)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/jobs/{job}")  # leads to the sign-in page, whose field has the focus
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This is not an API key")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{job}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    reach(page, "Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep it as it is")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status .headline")).to_contain_text("cancelled")
    reach(page, "acme", by="summary", back=True)
    page.keyboard.press("Enter")
    reach(page, "Sign out everywhere")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in")
    context.close()
