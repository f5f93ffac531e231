"""People compare jobs: chosen from the list, side by side, at an address that can be passed on."""

import copy
from typing import Any

from playwright.sync_api import expect

from service.contract.spec import JobSpec
from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.accessibility import violations
from tests.support.api_server import BODY, insert_job
from tests.support.dashboard_jobs import HOSTILE, METRICS, finished_job


def worse_metrics() -> dict[str, Any]:
    worse = copy.deepcopy(METRICS)
    difference = {"mean": 1.443, "standard_error": 0.01, "ci95": [1.423, 1.463]}
    worse["pruned"]["perplexity"][0] |= {"perplexity": 61.2, "ci95": [58.0, 64.5], "loss_difference": difference}
    return worse | {"sparsity": 0.6}


def spec_of(sparsity: float) -> dict[str, Any]:
    recipe = {"pattern": {"type": "unstructured", "sparsity": sparsity}}
    return JobSpec.model_validate(BODY | {"recipe": recipe}).model_dump(mode="json")


def test_jobs_are_chosen_from_the_list_and_shown_side_by_side(opened: Opening, database: Database) -> None:
    good = finished_job(database, spec=spec_of(0.5), model="org/good")
    bad = finished_job(database, spec=spec_of(0.6), model="org/bad", metrics=worse_metrics(), blocks=12)
    page = opened("/jobs")
    compare = page.get_by_role("button", name="Compare selected")
    page.locator(f"#pick-{good}").check()
    expect(compare).to_be_disabled()
    page.locator(f"#pick-{bad}").check()
    compare.click()
    page.wait_for_url("**/compare?*")
    perplexity = page.get_by_role("row", name="Perplexity, wiki-sample, pruned model")
    [good_at] = [at for at, row in enumerate(page.locator("tbody").first.locator("tr").all()) if "org/good" in row.inner_text()]
    expect(perplexity.get_by_role("cell").nth(good_at)).to_have_text("25.45 ± 1.050 best")
    expect(perplexity.locator(".best")).to_have_count(1)
    expect(page.get_by_role("row", name="recipe.pattern.sparsity")).to_contain_text("0.6")
    expect(page.locator("#errors-chart circle")).to_have_count(30 + 12)
    expect(page.locator("#points-chart a.point")).to_have_count(2)
    shared = opened(page.url.removeprefix(page.url.split("/compare")[0]))
    expect(shared.locator("h1")).to_have_text("2 jobs compared")


def test_comparisons_are_accessible_and_execute_no_markup(opened: Opening, url: str, database: Database) -> None:
    jobs = [finished_job(database, model=HOSTILE, labels={"team": HOSTILE}) for _ in range(5)] + [insert_job(database)]
    address = "/compare?" + "&".join(f"ids={job}" for job in jobs)
    for size in ("desk", "phone"):
        for scheme in ("light", "dark"):
            page = opened(address, size=size, scheme=scheme)
            expect(page.locator("#points-chart a.point")).to_have_count(5)
            expect(page.locator("#errors-chart svg")).to_have_count(1)
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_overlapping_points_are_all_visible(opened: Opening, database: Database) -> None:
    jobs = [finished_job(database, model=f"org/{number}") for number in range(3)]
    apart = finished_job(database, metrics=worse_metrics())
    page = opened("/compare?" + "&".join(f"ids={job}" for job in (*jobs, apart)))
    points = page.locator("#points-chart a.point")
    expect(points).to_have_count(4)
    boxes = {tuple(sorted(box.items())) for point in points.all() if (box := point.bounding_box())}
    assert len(boxes) == 4, "none is hidden by another"


def test_a_comparison_of_one_job_shows_the_error(opened: Opening, database: Database) -> None:
    page = opened(f"/compare?ids={insert_job(database)}", excused="the server responded with a status of 4")
    expect(page.locator("main")).to_contain_text("names 1 job; give the ids of 2 to 50")


def test_a_crosshair_shows_the_values_of_all_lines_with_the_keyboard(opened: Opening, database: Database) -> None:
    jobs = [finished_job(database, blocks=blocks) for blocks in (30, 12)]
    page = opened("/compare?" + "&".join(f"ids={job}" for job in jobs))
    chart = page.locator("#errors-chart svg")
    expect(chart.locator(".title-of")).to_have_text(["Relative error", "Block"])
    assert chart.locator(".tick-y").count() >= 3
    chart.focus()
    card = page.locator("#errors-chart .card-of")
    expect(card.locator("strong")).to_have_text("Block 29")
    expect(card.locator("dt")).to_have_text(["job 1"])
    page.keyboard.press("Home")
    expect(card.locator("dd")).to_have_text(["0.0110", "0.0110"])
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_jobs_that_differ_by_less_than_their_uncertainty_tie(opened: Opening, database: Database) -> None:
    page = opened("/compare?" + "&".join(f"ids={finished_job(database)}" for _ in range(2)))
    expect(page.get_by_role("row", name="Perplexity, wiki-sample, pruned model tie")).to_have_count(1)
    expect(page.locator(".best .mark")).to_have_count(0)
