"""People look at models: what each is, whether it can be pruned, and what their jobs have made of it."""

import httpx
import pytest
from playwright.sync_api import Route, expect

from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.api_server import insert_job
from tests.support.dashboard_jobs import HOSTILE, finished_job
from tests.support.tiny_model import save_model

REFUSED = "the server responded with a status of"


def test_a_model_is_inspected_and_a_job_created_from_it(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=3)
    page = opened("/models", excused="the server responded with a status of 422")  # the plan: its texts are too long for this one
    page.get_by_label("From", exact=True).select_option("local")
    expect(page.get_by_label("Revision")).to_be_hidden()
    page.get_by_label("Name").fill("tiny")
    page.get_by_role("button", name="Inspect").click()
    told = page.locator("#inspection")
    expect(told).to_contain_text("It can be pruned")
    found = api.get("/v1/models/inspect", params={"source": "local", "id": "tiny"}).json()
    assert found["architecture"] == "LlamaForCausalLM"
    for part in (
        "LlamaForCausalLM",
        f"{found['parameters']:,}",
        f"{100 * found['prunable_share']:.1f} %",
        "float32",
        "512 tokens",
    ):
        expect(told).to_contain_text(part)
    expect(told.locator("tbody tr", has_text="self_attn.k_proj.weight").locator("td")).to_have_text(["16", "32", "3", "1,536"])
    expect(told.locator("tbody tr")).to_have_count(7)
    page.reload()  # the address names the model
    expect(told).to_contain_text("LlamaForCausalLM")
    page.get_by_role("link", name="New job with this model").click()
    expect(page.locator("h1")).to_have_text("New job")
    expect(page.get_by_label("From", exact=True)).to_have_value("local")
    expect(page.get_by_label("Name", exact=True)).to_have_value("tiny")
    expect(page.locator("#inspection")).to_contain_text("LlamaForCausalLM")


def test_an_unknown_model_is_reported_at_its_field(opened: Opening) -> None:
    page = opened("/models", excused=REFUSED)
    page.get_by_role("button", name="Inspect").click()
    name = page.get_by_label("Name")
    expect(page.locator("#inspect .error:visible")).to_have_text(["is required"])
    page.get_by_label("From", exact=True).select_option("local")
    name.fill("nowhere")
    page.keyboard.press("Enter")
    expect(page.locator("#inspect .error:visible")).to_have_text(["there is no local model nowhere"])
    expect(name).to_have_value("nowhere")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("../etc")
    page.keyboard.press("Enter")
    expect(page.locator("#inspect .error:visible")).to_contain_text("must be a plain name")
    page.get_by_label("From", exact=True).select_option("hub")
    name.fill("org/model")
    page.keyboard.press("Enter")
    expect(page.locator("#failure")).to_contain_text("this service does not contact the hub")


def test_a_slow_inspection_is_shown_and_aborted_by_the_next(opened: Opening, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/models")
    held: list[Route] = []
    page.route("**/v1/models/inspect?*id=slow*", lambda route: held.append(route))
    page.get_by_label("From", exact=True).select_option("local")
    page.get_by_label("Name").fill("slow")
    page.get_by_role("button", name="Inspect").click()
    expect(page.locator("#under-way")).to_have_text("Inspecting slow…")
    expect(page.locator("#seconds")).to_have_text("2 s")
    page.get_by_label("Name").fill("tiny")
    with page.expect_event("requestfailed", lambda request: "id=slow" in request.url):
        page.get_by_role("button", name="Inspect").click()
    expect(page.locator("#inspection h2")).to_have_text("tiny")
    expect(page.locator("#seconds")).to_be_empty()
    assert len(held) == 1


def test_models_used_by_the_tenants_jobs_are_listed(opened: Opening, database: Database, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    finished_job(database, model=HOSTILE)
    insert_job(database, model=HOSTILE)
    page = opened("/models", excused=REFUSED)
    row = page.locator("#used tbody tr")
    expect(row).to_contain_text("50 %: 25.45 on wiki-sample, 12 × 1024 tokens")
    expect(row.locator("a.state")).to_have_text(["1 queued", "1 succeeded"])
    page.get_by_role("link", name="tiny").click()
    expect(page.locator("#inspection")).to_contain_text("LlamaForCausalLM")
    row.get_by_role("link", name="1 queued").click()
    expect(page.locator(".jobs tbody tr")).to_have_count(1)
    page.go_back()
    row.get_by_role("link", name="<script>").click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("#points-chart a.point")).to_have_count(1)
    page.get_by_role("link", name="Inspect").click()
    expect(page.locator("#inspect .error:visible")).to_contain_text("must be a plain name")


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_a_models_description_is_accessible(
    opened: Opening, url: str, database: Database, settings: Settings, size: str, scheme: str
) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    finished_job(database, model=HOSTILE * 2)
    page = opened("/models?source=local&id=tiny", size=size, scheme=scheme, excused=REFUSED)
    expect(page.locator("#inspection")).to_contain_text("It can be pruned")
    found = violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{url}/models?source=local&id=nowhere")
    expect(page.locator("#inspect .error:visible")).to_have_count(1)
    assert found + violations(page) == []


def test_a_model_is_inspected_with_the_keyboard_alone(opened: Opening, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/models", excused="the server responded with a status of 422")
    reach(page, "Hugging Face", by="select")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("tiny")
    page.keyboard.press("Enter")
    expect(page.locator("#inspection")).to_contain_text("It can be pruned")
    reach(page, "New job with this model", by="a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/new?source=local&id=tiny")
