"""People make jobs with the form: it offers what fits, plans as they type, and loses nothing of what they typed."""

import json
import re
from pathlib import Path

import httpx
from playwright.sync_api import Page, Route, expect

from service.contract.spec import JobSpec
from service.database.engine import Database
from service.settings import Settings
from service.tenants.sessions.operations import close_all
from tests.browser.conftest import Opening
from tests.support.dashboard_jobs import finished_job
from tests.support.threads import worker_thread
from tests.support.tiny_model import save_model


def name_model(page: Page, name: str = "tiny") -> None:
    page.get_by_label("Name", exact=True).fill(name)
    expect(page.get_by_label("From", exact=True)).to_have_value("local")
    unfold(page, "Calibration", "Evaluation")
    page.get_by_label("Tokens per sample").fill("64")
    page.get_by_label("Tokens per window").fill("64")


def unfold(page: Page, *groups: str) -> None:
    for name in groups:
        page.locator("summary").filter(has_text=name).click()


def request_of(page: Page) -> dict[str, object]:
    expect(page.locator("#request")).not_to_be_empty()
    found: dict[str, object] = json.loads(page.locator("#request").inner_text())
    return found


def test_a_job_is_created_with_the_form_and_watched_to_its_end(
    opened: Opening, api: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs", excused="the server responded with a status of 422")
    page.get_by_role("link", name="New job").first.click()
    name_model(page)
    expect(page.locator("#inspection")).to_contain_text("LlamaForCausalLM")
    page.get_by_role("radio", name="fast").check()
    page.get_by_label("Sparsity or pattern").fill("0.6")
    page.get_by_label("Samples", exact=True).fill("4")
    unfold(page, "Name and queue")
    page.get_by_label("Labels").fill("team=search")
    expect(page.locator("#plan")).to_contain_text("256 tokens")
    expect(page.locator("#plan")).to_contain_text("at most")
    assert request_of(page) == {
        "model": {"source": "local", "id": "tiny"},
        "recipe": {"preset": "fast", "pattern": {"type": "unstructured", "sparsity": 0.6}},
        "effort": "quick",
        "calibration": {"num_samples": 4, "sequence_length": 64},
        "evaluation": {"sequence_length": 64},
        "labels": {"team": "search"},
    }
    page.get_by_role("button", name="Create job").dblclick()
    page.wait_for_url(lambda address: "/jobs/" in address and "new" not in address)
    [job] = api.get("/v1/jobs").json()["items"]
    assert job["spec"]["recipe"]["refinement"] == {"method": "swaps", "max_swaps": 10}
    with worker_thread(settings):
        expect(page.locator("#status .headline")).to_contain_text("succeeded")


def test_choices_are_limited_by_earlier_choices(opened: Opening) -> None:
    page = opened("/jobs/new")
    unfold(page, "Recipe", "Output")
    page.get_by_label("Update", exact=True).select_option("admm, mask joint")
    expect(page.locator("#fitted")).to_contain_text("Refinement changed to none: swaps is not compatible")
    refinement = page.get_by_label("Refinement", exact=True)
    assert refinement.locator("option:enabled").all_inner_texts() == ["none"]
    expect(page.get_by_label("Iterations")).to_have_value("20")
    expect(page.get_by_role("checkbox", name=re.compile("^mask "))).to_be_disabled()
    page.get_by_role("button", name="2:4").click()
    expect(page.get_by_label("Sparsity or pattern")).to_have_value("2:4")
    assert page.get_by_label("Allocation").locator("option:enabled").all_inner_texts() == ["uniform"]


def test_errors_are_shown_at_their_fields(opened: Opening, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", excused="the server responded with a status of 4")
    name_model(page)
    samples = page.get_by_label("Samples", exact=True)
    samples.fill("many")
    expect(samples).to_have_attribute("aria-invalid", "true")
    assert samples.evaluate("field => document.getElementById(field.getAttribute('aria-describedby')).textContent")
    page.get_by_role("button", name="Create job").click()
    expect(page.locator("#failure")).to_contain_text("The job was not created")
    expect(samples).to_be_focused()
    samples.fill("16")
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    expect(page.locator("#plan")).to_contain_text("Calibration")


def test_form_input_survives_an_outage_and_an_expired_session(
    opened: Opening, api: httpx.Client, settings: Settings, database: Database, key: str
) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", excused="the server responded with a status of")
    name_model(page)
    unfold(page, "Name and queue")
    page.get_by_label("Labels").fill("team=search")
    expect(page.locator("#plan")).to_contain_text("Calibration")
    away = {"type": "unavailable", "title": "Not now", "status": 503, "detail": "the database does not answer"}
    seen: list[str] = []

    def is_away(route: Route) -> None:
        seen.append(route.request.headers["idempotency-key"])
        route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(away))

    page.route("**/v1/jobs", is_away)
    page.get_by_role("button", name="Create job").click()
    expect(page.locator("#failure")).to_contain_text("the database does not answer. Your input is kept")
    page.unroute("**/v1/jobs")
    close_all(database, key.split("_")[1])
    page.get_by_role("button", name="Create job").click()
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/new")
    expect(page.locator("#restored")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("tiny")
    with page.expect_request(lambda sent: sent.url.endswith("/v1/jobs")) as sent:
        page.get_by_role("button", name="Create job").click()
    assert sent.value.headers["idempotency-key"] == seen[0]
    page.wait_for_url(lambda address: "new" not in address)
    assert [job["labels"] for job in api.get("/v1/jobs").json()["items"]] == [{"team": "search"}]


def test_a_clone_repeats_the_same_spec(opened: Opening, api: httpx.Client, database: Database) -> None:
    source = finished_job(database)
    page = opened(f"/jobs/{source}", excused="the server responded with a status of")
    page.get_by_role("link", name="Clone").click()
    expect(page.locator("h1")).to_have_text("New job")
    cloned = request_of(page)
    spec = api.get(f"/v1/jobs/{source}").json()["spec"]
    assert JobSpec.model_validate(cloned).stored() == spec
