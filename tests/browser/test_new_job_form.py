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
    typed(page, "/model/id", "ti")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", name="tiny")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_have_value("tiny")
    expect(page.get_by_label("From", exact=True)).to_have_value("local")
    reach(page, "", by="#sparsity-slider")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Sparsity or pattern")).to_have_value("0.55")
    reach(page, "", by='[name="/recipe/preset"]:checked')
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="fast")).to_be_checked()
    expect(page.locator(".preset-summary")).to_contain_text("a few exact swaps")
    unfold(page, "Calibration")
    typed(page, "/calibration/sequence_length", "64")
    unfold(page, "Evaluation")
    typed(page, "/evaluation/sequence_length", "64")
    expect(page.locator("#plan")).to_contain_text("Calibration")
    reach(page, "Create job")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "/jobs/" in address and "new" not in address)
    [job] = api.get("/v1/jobs").json()["items"]
    assert job["spec"]["recipe"]["preset"] == "fast"
    assert job["spec"]["recipe"]["pattern"] == {"type": "unstructured", "sparsity": 0.55}
    assert job["spec"]["calibration"]["sequence_length"] == 64
    assert job["spec"]["effort"] == "quick"


def unfold(page: Page, name: str) -> None:
    reach(page, name, by="summary")
    page.keyboard.press("Enter")


def typed(page: Page, pointer: str, text: str) -> None:
    reach(page, "", by=f'[name="{pointer}"]')
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_on_a_phone_the_plan_and_the_button_stay_visible(opened: Opening, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", size="phone", excused="422")
    page.get_by_label("Name", exact=True).fill("tiny")
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
    page.locator("summary").filter(has_text="Evaluation").click()
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
