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
    worse["pruned"]["perplexity"][0]["perplexity"] = 61.2
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
    expect(perplexity.get_by_role("cell").nth(good_at)).to_have_text("25.454 best")
    expect(perplexity.locator(".best")).to_have_count(1)
    expect(page.get_by_role("row", name="/recipe/pattern/sparsity")).to_contain_text("0.6")
    expect(page.locator("#errors-chart circle")).to_have_count(30 + 12)
    expect(page.locator("#trade-chart circle")).to_have_count(2)
    shared = opened(page.url.removeprefix(page.url.split("/compare")[0]))
    expect(shared.locator("h1")).to_have_text("2 jobs compared")


def test_comparisons_are_accessible_and_execute_no_markup(opened: Opening, url: str, database: Database) -> None:
    jobs = [finished_job(database, model=HOSTILE, labels={"team": HOSTILE}) for _ in range(5)] + [insert_job(database)]
    address = "/compare?" + "&".join(f"ids={job}" for job in jobs)
    for size in ("desk", "phone"):
        for scheme in ("light", "dark"):
            page = opened(address, size=size, scheme=scheme)
            expect(page.locator("#trade-chart circle")).to_have_count(5)
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_overlapping_points_are_all_visible(opened: Opening, database: Database) -> None:
    jobs = [finished_job(database, model=f"org/{number}") for number in range(3)]
    apart = finished_job(database, metrics=worse_metrics())
    page = opened("/compare?" + "&".join(f"ids={job}" for job in (*jobs, apart)))
    circles = page.locator("#trade-chart circle")
    expect(circles).to_have_count(4)
    boxes = {tuple(sorted(box.items())) for circle in circles.all() if (box := circle.bounding_box())}
    assert len(boxes) == 4, "none is hidden by another"
    expect(page.locator("#trade-chart .label-of text")).to_have_text(["job 1, job 2, job 3", "job 4"])


def test_a_comparison_of_one_job_shows_the_error(opened: Opening, database: Database) -> None:
    page = opened(f"/compare?ids={insert_job(database)}", excused="the server responded with a status of 4")
    expect(page.locator("main")).to_contain_text("names 1 job; give the ids of 2 to 6")
