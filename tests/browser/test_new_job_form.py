"""The form of a new job without a mouse, on a phone, and with many texts."""

import httpx
from playwright.sync_api import Page, expect

from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.accessibility import reach
from tests.support.tiny_model import save_model


def test_a_job_is_created_with_the_keyboard_alone(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs", excused="422")
    reach(page, "New job", by="a")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("New job")
    reach(page, "", by='[name="/model/source"]')
    page.keyboard.press("ArrowDown")
    typed(page, "/model/id", "tiny")
    reach(page, "", by='[name="/recipe/preset"]:checked')
    page.keyboard.press("ArrowRight")  # round to the first
    expect(page.get_by_role("radio", name="fast")).to_be_checked()
    expect(page.locator(".preset-summary")).to_contain_text("a few exact swaps")
    typed(page, "/calibration/sequence_length", "64")
    typed(page, "/evaluation/sequence_length", "64")
    expect(page.locator("#plan")).to_contain_text("Calibration")
    reach(page, "Create job")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "/jobs/" in address and "new" not in address)
    [job] = api.get("/v1/jobs").json()["items"]
    assert job["spec"]["recipe"]["preset"] == "fast"
    assert job["spec"]["calibration"]["sequence_length"] == 64


def typed(page: Page, pointer: str, text: str) -> None:
    reach(page, "", by=f'[name="{pointer}"]')
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_on_a_phone_the_plan_and_the_button_stay_visible(opened: Opening, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", size="phone", excused="422")
    page.get_by_label("From", exact=True).select_option("local")
    page.get_by_label("Name", exact=True).fill("tiny")
    page.get_by_label("Tokens per sample").fill("64")
    page.get_by_label("Tokens per window").fill("64")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#plan-brief")).to_contain_text("of memory")
    expect(page.get_by_role("button", name="Create job")).to_be_in_viewport()
    page.get_by_role("link", name="See the plan").click()
    expect(page.locator("#plan")).to_be_in_viewport()


def test_a_data_set_is_found_by_its_name(opened: Opening, api: httpx.Client) -> None:
    for number in range(12):
        text = f"A document of its own, number {number}."
        answer = api.post(f"/v1/datasets?name=tickets-{number:02}", content=text, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 201
    page = opened("/jobs/new", size="phone", excused="422")
    find, shown = page.get_by_label("Find a text"), page.locator("#texts .choice:not(.unfound)")
    find.fill("TICKETS-07")
    expect(shown).to_have_count(4)  # its three splits, and what was ticked before
    shown.filter(has_text="tickets-07").last.get_by_role("checkbox").check()
    find.press("Enter")
    expect(page.locator("h1")).to_have_text("New job")
    find.fill("")
    expect(page.locator("#request")).to_contain_text("ds-")
    assert page.locator("#texts :checked").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
