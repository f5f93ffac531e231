"""People who administer let others in with keys, change their secrets and end them; a secret is shown once."""

import re

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.contract.scopes import Scope
from service.database.engine import Database
from service.tenants.keys.operations import create_key
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.api_server import client
from tests.support.dashboard_jobs import HOSTILE

REFUSED = "the server responded with a status of 4"


def status_with(url: str, key: str, path: str = "/v1/jobs") -> int:
    with client(url, key) as api:
        return api.get(path).status_code


def shown_secret(page: Page) -> str:
    expect(page.locator("#secret")).to_be_visible()
    secret = page.get_by_label("Full key").input_value()
    assert re.fullmatch(r"dsnot_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", secret)
    return secret


def test_a_key_is_created_and_its_secret_is_shown_once(opened: Opening, url: str, api: httpx.Client) -> None:
    page = opened("/keys", excused=REFUSED)
    page.get_by_text("New key").click()
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_label("Name")).to_be_focused()
    expect(page.locator("#new-key .error:visible")).to_have_text(["is required", "give at least 1"])
    page.get_by_label("Name").fill("nightly pipeline")
    page.get_by_role("checkbox", name="jobs:read").check()
    page.get_by_label("Expiry").select_option("days")
    page.get_by_label("Days").fill("soon")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key .error:visible")).to_have_text(["enter a number of days, such as 90"])
    page.get_by_label("Days").fill("99999999")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key .error:visible")).to_contain_text("at most ten years ahead")
    expect(page.get_by_label("Name")).to_have_value("nightly pipeline")
    expect(page.get_by_role("checkbox", name="jobs:read")).to_be_checked()
    page.get_by_label("Days").fill("30")
    page.get_by_role("button", name="Create key").dblclick()
    secret = shown_secret(page)
    expect(page.get_by_label("Full key")).to_be_focused()
    expect(page.locator("#secret")).to_contain_text("It is shown only once")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#secret-copied")).to_have_text("copied")
    assert status_with(url, secret) == 200
    assert status_with(url, secret, "/v1/keys") == 403
    page.get_by_role("button", name="I have copied it").click()
    expect(page.locator("#secret")).to_be_hidden()
    assert page.get_by_label("Full key").input_value() == ""
    expect(page.locator("#keys tbody tr", has_text="nightly pipeline")).to_contain_text("jobs:read")
    page.reload()
    assert secret.split("_", 2)[2] not in page.content() + str(page.evaluate("JSON.stringify(sessionStorage)"))
    made = [each for each in api.get("/v1/keys").json()["items"] if each["name"] == "nightly pipeline"]
    assert len(made) == 1


def test_a_key_gets_an_expiry_date(opened: Opening, api: httpx.Client) -> None:
    page = opened("/keys")
    page.get_by_text("New key").click()
    page.get_by_label("Name").fill("until spring")
    page.get_by_role("checkbox", name="artifacts:read").check()
    page.get_by_label("Expiry").select_option("day")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key .error:visible")).to_have_text(["choose the last day"])
    page.get_by_label("Last day").fill("2030-02-28")
    page.get_by_role("button", name="Create key").click()
    shown_secret(page)
    assert api.get("/v1/keys").json()["items"][0]["expires_at"] == "2030-02-28T23:59:59Z"
    expect(page.locator("#keys tbody tr").first).to_contain_text("28 Feb 2030")


def test_a_key_is_rotated(opened: Opening, url: str, database: Database) -> None:
    key, old = create_key(database, tenant="acme", name="nightly", scopes=[Scope.JOBS_READ])
    page = opened("/keys")
    page.get_by_role("button", name="Rotate nightly").click()
    page.get_by_label("Hours").fill("721")
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.get_by_role("dialog").locator(".error:visible")).to_have_text(["enter a number of hours, 0 to 720"])
    expect(page.get_by_label("Hours")).to_have_value("721")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Rotate nightly")).to_be_focused()
    page.get_by_role("button", name="Rotate nightly").click()
    expect(page.get_by_label("Hours")).to_have_value("24")
    page.get_by_role("button", name="Rotate secret").click()
    second = shown_secret(page)
    expect(page.locator(f"#key-{key.id}")).to_contain_text(
        re.compile(r"previous secret valid until \d+ \w{3} \d{4}, [\d:]{8} UTC")
    )
    assert [status_with(url, each) for each in (old, second)] == [200, 200]
    page.get_by_role("button", name="Rotate nightly").click()
    page.get_by_label("Hours").fill("0")
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.get_by_label("Full key")).not_to_have_value(second)
    third = shown_secret(page)
    assert [status_with(url, each) for each in (old, second, third)] == [401, 401, 200]


def test_a_key_is_revoked_after_confirmation(opened: Opening, url: str, database: Database) -> None:
    key, plaintext = create_key(database, tenant="acme", name=HOSTILE, scopes=[Scope.JOBS_READ])
    page = opened("/keys")
    revoke = page.locator(f"#revoke-{key.id}")
    revoke.click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Revoke {HOSTILE}?")
    page.get_by_role("button", name="Keep it as it is").click()
    assert status_with(url, plaintext) == 200
    revoke.click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator(f"#key-{key.id} .state")).to_have_text("revoked")
    expect(revoke).to_have_count(0)
    assert status_with(url, plaintext) == 401


def test_revoking_the_own_key_ends_the_session_unless_it_is_last(opened: Opening, database: Database, key: str) -> None:
    page = opened("/keys", excused=REFUSED)
    own = page.locator(f"#revoke-{key.split('_')[1]}")
    own.click()
    expect(page.get_by_role("dialog")).to_contain_text("your session ends with it")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("#failure")).to_contain_text("the last valid key with the scope admin")
    create_key(database, tenant="acme", name="second", scopes=[Scope.ADMIN])
    own.click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("#connection")).to_contain_text("You are signed out")


def test_form_input_survives_an_expired_session(opened: Opening, key: str) -> None:
    page = opened("/keys", excused=REFUSED)
    page.get_by_text("New key").click()
    page.get_by_label("Name").fill("nightly")
    page.get_by_role("checkbox", name="jobs:write").check()
    page.get_by_label("Expiry").select_option("days")
    page.get_by_label("Days").fill("7")
    page.context.clear_cookies()
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-failure")).to_contain_text("The session has ended")
    page.locator("#new-failure").get_by_role("link", name="Sign in again").click()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: address.endswith("/keys") and "sign-in" not in address)
    expect(page.get_by_label("Name")).to_have_value("nightly")
    expect(page.get_by_role("checkbox", name="jobs:write")).to_be_checked()
    expect(page.get_by_label("Days")).to_have_value("7")


def test_a_key_is_created_with_the_keyboard_alone(chromium: Browser, url: str, key: str) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in?next=/keys")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/keys")
    reach(page, "New key", by="summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="jobs:read")).to_be_checked()
    page.keyboard.press("Enter")
    shown_secret(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    context.close()


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_every_part_of_the_page_is_accessible(opened: Opening, database: Database, size: str, scheme: str) -> None:
    create_key(database, tenant="acme", name=HOSTILE * 2, scopes=list(Scope))
    page = opened("/keys", size=size, scheme=scheme, excused=REFUSED)
    broken = {"list": violations(page)}
    page.get_by_text("New key").click()
    page.get_by_label("Expiry").select_option("days")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key .error:visible")).to_have_count(2)
    broken["complaints"] = violations(page)
    page.get_by_label("Name").fill("one")
    page.get_by_role("checkbox", name="admin").check()
    page.get_by_role("button", name="Create key").click()
    shown_secret(page)
    broken["secret"] = violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Rotate one").click()
    broken["dialog"] = violations(page)
    assert {part: found for part, found in broken.items() if found} == {}
