"""People who administer look up who did what."""

import csv
from pathlib import Path
from uuid import uuid4

import httpx
from playwright.sync_api import expect

from service.contract.scopes import Scope
from service.database.engine import Database
from service.tenants.keys.operations import create_key
from tests.browser.conftest import Opening
from tests.support.accessibility import reach, violations
from tests.support.api_server import BODY, client
from tests.support.dashboard_jobs import HOSTILE


def test_audit_entries_are_filtered_and_link_to_their_object(
    opened: Opening, url: str, api: httpx.Client, database: Database
) -> None:
    key, plaintext = create_key(database, tenant="acme", name=HOSTILE, scopes=[Scope.JOBS_WRITE])
    with client(url, plaintext) as other:
        job = other.post("/v1/jobs", json=BODY, headers={"X-Request-ID": "look-for-me"}).json()["id"]
        other.post(f"/v1/jobs/{uuid4()}/cancel")
    api.post("/v1/jobs", json=BODY)
    page = opened("/audit", excused="the server responded with a status of 422")
    page.get_by_label("Key").fill("nobody")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#key_id-error")).to_contain_text("enter a key’s id")
    expect(page.get_by_label("Key")).to_have_value("nobody")
    page.get_by_label("Key").fill(key.id)
    page.get_by_label("Action").select_option("create_job")
    page.get_by_role("button", name="Show").click()
    rows = page.locator(".entries tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(HOSTILE)
    expect(rows.locator(".state")).to_have_text("201")
    expect(page.get_by_text("look-for-me")).to_be_hidden()
    page.get_by_text("Details").last.click()
    expect(page.get_by_text("look-for-me")).to_be_visible()
    expect(rows).to_contain_text("127.0.0.1")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    [row] = csv.DictReader(Path(download.value.path()).read_text().splitlines())
    assert (row["action"], row["created"], row["key_name"], row["request_id"]) == (
        "create_job", f"/v1/jobs/{job}", HOSTILE, "look-for-me",
    )  # fmt: skip
    page.get_by_role("link", name=f"/v1/jobs/{job}").click()
    page.wait_for_url(f"**/jobs/{job}")
    page.go_back()
    page.get_by_label("Action").select_option("")
    page.get_by_label("After").fill("2020-01-01T00:00")
    page.get_by_label("Before").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#created_before-error")).to_contain_text("must be later")
    page.goto(f"{url}/audit?key_id={key.id}&created_after=2020-01-01T00:00")
    expect(rows.locator(".state")).to_have_text(["404", "201"])
    page.get_by_role("link", name="Everything").click()
    rows.get_by_role("link", name=HOSTILE).first.click()
    expect(rows).to_have_count(2)
    page.get_by_text("Details").last.click()
    rows.get_by_role("link", name=key.id).click()
    expect(page.locator("h1")).to_have_text("Key")
    expect(page.locator("#keys tbody tr")).to_have_count(1)


def test_the_audit_log_is_paged_with_the_keyboard(opened: Opening, api: httpx.Client) -> None:
    for number in range(60):
        api.post("/v1/keys", json={"name": f"key {number}", "scopes": ["jobs:read"]})
    page = opened("/audit", size="phone", scheme="dark")
    reach(page, "Details", by="summary")
    page.keyboard.press("Enter")
    expect(page.locator("details[open] dl")).to_contain_text("127.0.0.1")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator(".entries tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".entries tbody tr")).to_have_count(11)
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator(".entries tbody tr")).to_have_count(50)
