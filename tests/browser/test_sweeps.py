"""People create sweeps, watch a search narrow, and read the chart: with the mouse, the keyboard, on a phone, in the dark."""

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.dashboard_jobs import finished_job
from tests.support.page_jobs import is_unbroken, mark
from tests.support.settling import settle
from tests.support.sweep_points import DATASET, GRID, SEARCH, dispatch, end_job, run_queued, run_to_end
from tests.support.tiny_model import save_model

TEXT = json.dumps(
    {
        "calibration": {"dataset": "c4-sample", "num_samples": 4, "sequence_length": 64},
        "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 64},
    }
)


def created(api: httpx.Client, body: dict[str, Any]) -> str:
    return str(api.post("/v1/sweeps", json=body).raise_for_status().json()["id"])


def test_a_chart_shows_a_card_on_focus_and_opens_the_job(
    opened: Opening, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID))
    page = opened(f"/sweeps/{sweep['id']}")
    points = page.locator("#points-chart a.point")
    expect(points).to_have_count(12)
    expect(page.locator("#points-chart .front polyline")).to_have_count(1)
    expect(page.locator("#points-chart line.dense")).to_have_count(1)
    assert page.locator("#points-chart .tick-y").count() >= 3
    expect(page.locator("#series-key li")).to_have_text(["fast", "balanced", "best", "Pareto front", "dense model"])
    reach(page, "", by="#points-chart a.point")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card-of strong")).to_have_text("fast, 50 %")
    expect(page.locator(".card-of")).to_contain_text("17.90")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{sweep['table'][1]['job_id']}")
    page.get_by_role("link", name="point 1 of sweep").click()
    page.wait_for_url(f"**/sweeps/{sweep['id']}")


def test_another_measure_is_drawn_and_stays_in_the_url(
    opened: Opening, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID))
    page = opened(f"/sweeps/{sweep['id']}")
    mark(page)
    expect(page.get_by_label("Vertical scale")).to_have_value("log")
    page.get_by_label("Vertical", exact=True).select_option(f"kl_divergence:{DATASET}")
    expect(page.locator("#points-chart .title-of").first).to_have_text(f"KL divergence on {DATASET}, nats per token")
    page.get_by_label("Horizontal").select_option("packed_bytes")
    expect(page.locator("#points-chart .tick-x").first).to_contain_text("MB")
    page.get_by_label("Vertical scale").select_option("linear")
    expect(page.locator("#points")).to_have_attribute("data-log", "no")
    assert page.locator("#points-chart .tick-y").count() >= 3
    assert is_unbroken(page)
    address = page.url
    page.reload()
    assert page.url == address
    expect(page.locator("#points-chart .title-of").last).to_have_text("Packed weights")


def test_a_search_narrows_while_it_is_watched(opened: Opening, api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, SEARCH)
    page = opened(f"/sweeps/{sweep}")
    mark(page)
    expect(page.locator("#narrowing .tried.queued")).to_have_count(1)
    expect(page.locator("#narrowing .open")).to_have_count(1)
    run_queued(database, sweep)
    dispatch(database, settings)
    expect(page.locator("#answer")).to_contain_text("55 % does not")
    expect(page.locator("#narrowing .tried.misses")).to_have_count(1)
    run_queued(database, sweep)
    dispatch(database, settings)
    expect(page.locator("#points-chart a.point")).to_have_count(2)
    ended = run_to_end(api, database, settings, sweep)
    expect(page.locator("#answer")).to_have_text(ended["search"]["text"])
    expect(page.locator("#narrowing .open")).to_have_count(0)
    expect(page.locator("#actions button")).to_have_text(["Delete"])
    assert is_unbroken(page)


def test_a_sweep_is_retried_and_deleted_without_its_jobs(
    opened: Opening, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = created(api, GRID)
    run_queued(database, sweep, most=11)
    job = api.get(f"/v1/sweeps/{sweep}").json()["table"][11]["job_id"]
    end_job(database, UUID(job), state=JobState.FAILED, error={"code": "worker-lost", "detail": "x", "retryable": True})
    dispatch(database, settings)
    page = opened(f"/sweeps/{sweep}", excused="404")  # a refresh may overlap the deletion
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#status .headline")).to_contain_text("11 succeeded, 1 queued")
    run_to_end(api, database, settings, sweep)
    expect(page.locator("#status .headline")).to_contain_text("finished")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#confirmation-text")).to_contain_text("12 jobs with their measurements and")
    page.get_by_label("Keep the jobs and their artifacts").check()
    page.get_by_role("button", name="Delete the sweep").click()
    page.wait_for_url("**/sweeps")
    assert api.get(f"/v1/sweeps/{sweep}").status_code == 404
    assert len(api.get("/v1/jobs").json()["items"]) == 13


def fill(page: Page, model: str = "tiny") -> None:
    page.get_by_label("From", exact=True).select_option("local")
    page.locator('[name="/template/model/id"]').fill(model)
    page.get_by_label("Rest of the job").fill(TEXT)


def test_a_sweep_is_created_from_a_jobs_page(opened: Opening, api: httpx.Client, database: Database, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened(f"/jobs/{finished_job(database)}", excused="the server responded with a status of")
    page.get_by_role("link", name="New sweep").click()
    expect(page.locator("h1")).to_have_text("New sweep")
    expect(page.locator('[name="/template/model/id"]')).to_have_value("facebook/opt-125m")
    fill(page)
    page.get_by_label("balanced", exact=True).uncheck()  # the earlier job's
    page.get_by_label("fast", exact=True).check()
    page.get_by_label("best", exact=True).check()
    values = page.get_by_label("Sparsities and patterns")
    values.fill("0.4, 1.5")
    expect(values).to_have_attribute("aria-invalid", "true")
    values.fill("40%, 0.5, 2:4")
    expect(page.locator("#inspection")).to_contain_text("LlamaForCausalLM")
    expect(page.locator("#plan")).to_contain_text("6 jobs")
    expect(page.locator("#plan")).to_contain_text("fast, 2:4")
    page.get_by_role("button", name="curl").click()
    expect(page.locator("#request")).to_contain_text("/v1/sweeps")
    page.get_by_role("button", name="Python").click()
    expect(page.locator("#request")).to_contain_text("sweep = client.sweeps.create(body)")
    page.get_by_role("button", name="Create sweep").click()
    page.wait_for_url(re.compile(r"/sweeps/[0-9a-f-]{36}$"))
    [sweep] = api.get("/v1/sweeps").json()["items"]
    patterns = [{"type": "unstructured", "sparsity": share} for share in (0.4, 0.5)] + [{"type": "n:m", "n": 2, "m": 4}]
    assert sweep["spec"]["axes"] == {"/recipe/preset": ["fast", "best"], "/recipe/pattern": patterns}
    assert sweep["spec"]["template"]["model"]["id"] == "tiny"


def test_a_search_is_refused_by_field_and_created(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/sweeps/new", excused="the server responded with a status of 4")
    fill(page)
    page.get_by_role("radio", name="search for a target").check()
    page.get_by_label("Lowest sparsity").fill("0.9")
    page.get_by_label("Value", exact=True).fill("-1")
    page.get_by_role("button", name="Create sweep").click()
    expect(page.locator("#failure")).to_contain_text("The sweep was not created")
    for field in ("Lowest sparsity", "Value"):
        expect(page.get_by_label(field, exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Rest of the job").fill("{")
    page.get_by_role("button", name="Create sweep").click()
    expect(page.get_by_label("Rest of the job")).to_be_focused()
    page.reload()
    expect(page.locator("#restored")).to_be_visible()
    expect(page.get_by_label("Rest of the job")).to_have_value("{")
    fill(page)
    page.get_by_label("Lowest sparsity").fill("0.3")
    page.get_by_label("Value", exact=True).fill("0.1")
    page.get_by_label("Try first").select_option("fast")
    expect(page.locator("#plan")).to_contain_text("8 jobs")
    page.get_by_role("button", name="Create sweep").click()
    expect(page.locator("#narrowing .tried")).to_have_count(1)
    [sweep] = api.get("/v1/sweeps").json()["items"]
    assert sweep["spec"]["target"]["at_most_increase"] == 0.1
    assert (sweep["spec"]["template"]["recipe"], sweep["spec"]["try_first"]) == ({"preset": "balanced"}, "fast")


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_pages_of_sweeps_are_accessible_and_never_wider_than_the_screen(
    opened: Opening, url: str, api: httpx.Client, database: Database, settings: Settings, scheme: str, size: str
) -> None:
    search = created(api, SEARCH | {"try_first": "fast"})
    run_queued(database, search)
    dispatch(database, settings)
    grid = run_to_end(api, database, settings, created(api, GRID))["id"]
    page = opened("/sweeps", scheme=scheme, size=size)
    for path in ("/sweeps", f"/sweeps/{search}", f"/sweeps/{grid}", "/sweeps/new", "/sweeps?state=failed"):
        page.goto(f"{url}{path}")
        settle(page)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
