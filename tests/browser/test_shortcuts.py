"""Keyboard shortcuts of all pages, and menus that open one at a time."""

from playwright.sync_api import expect

from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.api_server import insert_job


def test_control_k_goes_to_a_page_or_searches_jobs(opened: Opening, database: Database) -> None:
    insert_job(database, model="org/a")
    page = opened("/workers")
    page.keyboard.press("Control+k")
    expect(page.get_by_label("Page, or words of a job")).to_be_focused()
    page.keyboard.type("webhooks")
    page.keyboard.press("Enter")
    page.wait_for_url("**/webhooks")
    page.keyboard.press("Control+k")
    page.keyboard.type("org/a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?q=org*")
    expect(page.get_by_role("link", name="org/a")).to_be_visible()


def test_letters_are_shortcuts_except_while_typing(opened: Opening) -> None:
    page = opened("/jobs")
    page.keyboard.press("/")
    page.keyboard.type("c/")
    expect(page.locator("#q")).to_have_value("c/")
    page.locator("#q").blur()
    page.keyboard.press("c")
    page.wait_for_url("**/jobs/new")


def test_menus_close_on_escape_and_on_a_click_elsewhere(opened: Opening) -> None:
    page = opened("/")
    integrations, admin = (page.locator("summary", has_text=name) for name in ("Integrations", "Admin"))
    integrations.click()
    expect(page.get_by_role("link", name="Triggers")).to_be_visible()
    admin.click()
    expect(page.get_by_role("link", name="Triggers")).to_be_hidden()
    expect(page.get_by_role("link", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Keys")).to_be_hidden()
    expect(admin).to_be_focused()
