"""Everything that can be done to a job on its page."""

import httpx
from playwright.sync_api import expect

from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.api_server import insert_job
from tests.support.page_jobs import BODY
from tests.support.tiny_model import save_model


def test_every_action_of_a_job_works_on_its_page(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny")
    job = api.post("/v1/jobs", json=BODY).json()["id"]
    page = opened(f"/jobs/{job}")
    headline = page.locator("#status .headline")
    for action, state in (("Pause", "paused"), ("Resume", "queued"), ("Cancel", "cancelled")):
        page.get_by_role("button", name=action, exact=True).click()
        if action == "Cancel":
            page.get_by_role("button", name="Cancel the job").click()
        expect(headline).to_contain_text(state)
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url(lambda address: "/jobs/" in address and job not in address)
    page.get_by_role("link", name=f"job {job}").click()
    page.locator("#more summary").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it as it is").click()
    expect(headline).to_contain_text("cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the job").click()
    page.wait_for_url("**/jobs")
    expect(page.locator(".jobs tbody tr")).to_have_count(1)


def test_a_question_asked_right_after_a_refusal_is_answered(opened: Opening, database: Database) -> None:
    page = opened(f"/jobs/{insert_job(database)}")
    page.get_by_role("button", name="Cancel").wait_for()
    page.evaluate("""for (const id of ["do-cancel", "confirmation-no", "do-cancel"]) document.getElementById(id).click()""")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator("#status .headline")).to_contain_text("cancelled")
