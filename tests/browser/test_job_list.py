"""People look for jobs: they search, sort, filter and turn pages, with ten thousand of them."""

from playwright.sync_api import Page, expect

from service.contract.states import JobState
from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.accessibility import reach, violations
from tests.support.api_server import insert_job
from tests.support.dashboard_jobs import HOSTILE, many_jobs


def models(page: Page) -> list[str]:
    return page.locator(".jobs tbody th bdi").all_inner_texts()


def test_jobs_are_searched_sorted_and_paged(opened: Opening, database: Database) -> None:
    many_jobs(database, 10_000)
    page = opened("/jobs")
    page.get_by_label("Search").fill("MODEL-3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?*q=MODEL-3*")
    page.locator("#by-model").click()
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "ascending")
    assert models(page) == ["org/model-3"] * 50
    page.get_by_role("checkbox", name="failed").check()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "ascending")
    assert set(page.locator(".jobs .state").all_inner_texts()) == {"failed"}
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_label("Search")).to_have_value("MODEL-3")
    expect(page.get_by_role("checkbox", name="failed")).to_be_checked()
    assert models(page) == sorted(models(page))
    page.locator("#by-model").click()
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "descending")
    assert models(page)[0] == "org/model-39"
    page.get_by_role("link", name="All jobs", exact=True).click()
    expect(page.get_by_label("Search")).to_have_value("")


def test_the_order_survives_live_updates(opened: Opening, database: Database) -> None:
    for name in ("org/b", "org/c"):
        insert_job(database, model=name)
    page = opened("/jobs?sort=model", size="phone")
    expect(page.locator(".jobs tbody th bdi")).to_have_text(["org/b", "org/c"])
    heading = page.locator("#by-model")
    heading.focus()
    insert_job(database, model="org/a", state=JobState.RUNNING)
    expect(page.locator(".jobs tbody th bdi")).to_have_text(["org/a", "org/b", "org/c"])
    expect(heading).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".jobs tbody th bdi")).to_have_text(["org/c", "org/b", "org/a"])


def test_search_and_sorting_work_with_the_keyboard(opened: Opening, database: Database) -> None:
    insert_job(database, model="org/found")
    insert_job(database, model="org/other")
    page = opened("/jobs")
    reach(page, "", by="#q")
    page.keyboard.type("OUND")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=OUND**")
    expect(page.locator(".jobs tbody tr")).to_have_count(1)
    reach(page, "Ended", by="a")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=-finished_at**")
    expect(page.get_by_role("columnheader", name="Ended")).to_have_attribute("aria-sort", "descending")


def test_a_search_without_results_suggests_another(opened: Opening, database: Database) -> None:
    insert_job(database, model=HOSTILE)
    for scheme, size in (("light", "desk"), ("dark", "phone")):
        page = opened("/jobs?q=nowhere&sort=-priority", scheme=scheme, size=size)
        expect(page.locator("#list")).to_contain_text("No job matches")
        assert violations(page) == []
        page.goto(page.url.replace("nowhere", "script"))
        expect(page.locator(".jobs tbody tr")).to_have_count(1)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
