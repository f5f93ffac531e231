"""People read the chart of one model: points, cards, conditions, and what to measure next."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.dashboard_jobs import finished_job
from tests.support.job_examples import filled
from tests.support.measured_models import MODEL, measured_job, measured_model
from tests.support.settling import settle

PAGE = f"/models/hub/{MODEL}"


def test_a_point_shows_its_card_and_opens_its_job(opened: Opening, database: Database) -> None:
    measured_model(database)
    page = opened("/models")
    page.get_by_role("link", name=MODEL).click()
    points = page.locator("#points-chart a.point")
    expect(points).to_have_count(7)
    expect(page.locator("#points-chart .front polyline, #points-chart line.dense, #points-chart text.column-of")).to_have_count(3)
    expect(page.locator("#points-chart .interval")).to_have_count(7)
    expect(page.locator("#series-key li")).to_have_text(
        ["fast", "balanced", "hollow: n:m pattern", "Pareto front", "dense model"]
    )
    shapes = {point.locator(".mark-of").evaluate("mark => mark.tagName + mark.getAttribute('d')") for point in points.all()}
    assert len(shapes) == 2, "series differ by shape as well as by colour"
    reach(page, "", by="#points-chart a.point")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card-of strong")).to_have_text("40 %, fast")
    expect(page.locator(".card-of")).to_contain_text("Perplexity ratio")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))


def test_another_measure_and_condition_stay_in_the_url(opened: Opening, database: Database) -> None:
    measured_model(database)
    measured_job(database, "best", 0.5, windows=99)
    page = opened(PAGE)
    page.get_by_label("Measured on").select_option(label="wiki-sample, 99 × 1,024 tokens (1 job)")
    expect(page.locator("#points-chart a.point")).to_have_count(1)
    assert page.locator("#points-chart .tick-y").count() >= 3, "a single point has an axis as well"
    page.reload()
    expect(page.locator("#points-chart a.point")).to_have_count(1)
    page.get_by_label("Measure", exact=True).select_option("top1_agreement")
    expect(page.locator("#points-chart .title-of").first).to_have_text("Top-1 agreement on wiki-sample")
    expect(page.locator("#points-chart a.point")).to_have_count(8)


def test_another_revision_keeps_measure_and_scale(opened: Opening, database: Database) -> None:
    for revision in ("main", "v2"):
        finished_job(database, blocks=1, spec=filled(model={"id": MODEL, "revision": revision}))
    page = opened(f"{PAGE}?y=top1_agreement&scale=log")
    expect(page.get_by_label("Revision", exact=True)).to_have_value("v2")
    page.get_by_label("Revision", exact=True).select_option("main")
    page.wait_for_url("**revision=main**")
    expect(page.get_by_label("Measure", exact=True)).to_have_value("top1_agreement")
    expect(page.get_by_label("Vertical scale")).to_have_value("log")
    expect(page.get_by_label("Revision", exact=True)).to_have_value("main")
    expect(page.locator("#points-chart a.point")).to_have_count(1)


def test_the_gaps_are_filled_by_a_prefilled_sweep(opened: Opening, api: httpx.Client, database: Database) -> None:
    measured_model(database)
    page = opened(PAGE, excused="the server responded with a status of")
    page.get_by_role("link", name="Fill the gaps").click()
    expect(page.locator("h1")).to_have_text("New sweep")
    expect(page.locator('[name="/template/model/id"]')).to_have_value(MODEL)
    expect(page.get_by_label("best", exact=True)).to_be_checked()
    expect(page.get_by_label("balanced", exact=True)).not_to_be_checked()


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_a_models_page_is_accessible_and_never_wider_than_the_screen(
    opened: Opening, url: str, database: Database, scheme: str, size: str
) -> None:
    measured_model(database)
    finished_job(database, model="org/one")
    page = opened(PAGE, scheme=scheme, size=size)
    for path in (PAGE, "/models/hub/org/one", "/models/hub/org/none"):
        page.goto(f"{url}{path}")
        settle(page)
        if page.locator("a.point").count():
            page.locator("a.point").first.focus()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_the_heat_map_orders_its_rows_names_the_worst_and_pins_a_cell(opened: Opening, database: Database) -> None:
    page = opened(f"/jobs/{finished_job(database, blocks=12)}/layers")
    heat = page.locator("#heat-chart")
    expect(page.locator("#measure")).to_have_value("error")
    expect(heat.locator(".cell")).to_have_count(84)
    names = heat.locator("text:not([class])").all_text_contents()
    assert [name.rpartition(".")[2].removesuffix("_proj") for name in names] == ["q", "k", "v", "o", "gate", "up", "down"]
    expect(heat.locator(".high-of")).to_have_text("0.132")
    expect(page.locator("#heat-worst")).to_contain_text("Largest error: block 11 self_attn.q_proj 0.132")
    heat.locator(".cell").nth(40).click()
    page.locator("h1").hover()
    expect(heat.locator(".card-of")).to_contain_text("Pinned")
    heat.locator("svg").focus()
    page.keyboard.press("Escape")
    expect(heat.locator(".card-of")).to_be_hidden()


def test_numbers_are_written_as_on_the_pages(opened: Opening) -> None:
    page = opened("/models")
    module = page.locator("script[src*='models.js']").get_attribute("src").replace("models.js", "number_formats.js")  # type: ignore[union-attr]
    values = [0, 25.454, 9.99996, 1203.1, 49440.544, 0.05204, -0.4121, 0.0000321]
    found = page.evaluate("async ([module, values]) => values.map((await import(module)).figure)", [module, values])
    assert found == ["0", "25.45", "10.00", "1,203", "49,440", "0.0520", "-0.412", "3.21e-05"]
