"""People look for jobs: they search, sort, filter, group and turn pages, with ten thousand of them."""

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Browser, Page, expect

from service.contract.states import JobState
from service.database.engine import Database
from tests.browser.conftest import SIZES, Opening, session_of
from tests.support.accessibility import reach, violations
from tests.support.api_server import insert_job
from tests.support.browsing import COOKIE
from tests.support.dashboard_jobs import HOSTILE, finished_job, many_jobs
from tests.support.page_jobs import is_unbroken, mark


def titles(page: Page) -> list[str]:
    return page.locator(".jobs tbody th > a > bdi").all_inner_texts()


def expect_titles(page: Page, *wanted: str) -> None:
    expect(page.locator(".jobs tbody th > a > bdi")).to_have_text(list(wanted))


def test_jobs_are_searched_sorted_and_paged_on_one_page(opened: Opening, database: Database) -> None:
    many_jobs(database, 10_000)
    page = opened("/jobs")
    mark(page)
    page.get_by_label("Search", exact=True).fill("MODEL-3")
    page.wait_for_url("**/jobs?q=MODEL-3")
    page.locator("#by-name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    expect_titles(page, *["org/model-3"] * 50)
    page.locator("#state-failed").click()
    expect(page.locator("#state-failed")).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    assert set(page.locator(".jobs .state").all_inner_texts()) == {"failed"}
    assert is_unbroken(page), "nothing so far has loaded the page again"
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_label("Search", exact=True)).to_have_value("MODEL-3")
    expect(page.locator("#state-failed")).to_have_attribute("aria-current", "true")
    assert titles(page) == sorted(titles(page))
    page.locator("#by-name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
    assert titles(page)[0] == "org/model-39"
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.get_by_label("Search", exact=True)).to_have_value("")
    expect(page.locator("#tally")).to_have_text("10,000 jobs")


def test_the_list_follows_what_is_typed_with_its_facets(opened: Opening, database: Database) -> None:
    insert_job(database, model="org/small", name="first try", labels={"team": "search"})
    insert_job(database, model="org/large", labels={"team": "ads"})
    page = opened("/jobs", excused="the server responded with a status of 422")
    mark(page)
    box = page.get_by_label("Search", exact=True)
    for typed, found in (
        ("first", ["first try"]),
        ("model:LARGE", ["org/large"]),
        ("label:team=search", ["first try"]),
        ("label:team", ["org/large", "first try"]),
        ("preset:best", []),
        ("label:team=ads model:org", ["org/large"]),
    ):
        box.fill(typed)
        expect_titles(page, *found)
        expect(page.locator("#tally")).to_have_text("1 job" if len(found) == 1 else f"{len(found)} jobs")
    box.fill("preset:cheap")
    expect(page.locator("#q-error")).to_contain_text("there is no preset 'cheap'; use one of fast, balanced")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("")
    expect_titles(page, "org/large", "first try")
    expect(box).not_to_have_attribute("aria-invalid", "true")
    page.get_by_role("link", name="team=ads").click()
    expect(box).to_have_value("label:team=ads")
    expect_titles(page, "org/large")
    assert is_unbroken(page)
    page.go_back()
    expect(box).to_have_value("")
    expect_titles(page, "org/large", "first try")


def test_state_chips_count_and_combine(opened: Opening, database: Database) -> None:
    for state in (JobState.FAILED, JobState.FAILED, JobState.QUEUED, JobState.PAUSED):
        insert_job(database, state=state)
    page = opened("/jobs")
    chips = page.get_by_role("navigation", name="States").get_by_role("link")
    expect(chips).to_have_text([re.compile(text) for text in ("all 4", "queued 1", "paused 1", "failed 2")])
    page.locator("#state-failed").click()
    expect(page.locator(".jobs .state")).to_have_text(["failed", "failed"])
    page.locator("#state-paused").click()
    expect(page.locator(".jobs tbody tr")).to_have_count(3)
    assert page.url.endswith("/jobs?state=paused&state=failed")
    page.locator("#state-failed").click()
    expect(page.locator(".jobs .state")).to_have_text(["paused"])
    insert_job(database, state=JobState.PAUSED)
    expect(page.locator("#state-paused")).to_contain_text("2")  # counts are live
    page.locator("#state-all").click()
    expect(page.locator(".jobs tbody tr")).to_have_count(5)


def test_chips_clicked_one_after_the_other_combine(opened: Opening, database: Database) -> None:
    for state in (JobState.FAILED, JobState.QUEUED, JobState.PAUSED):
        insert_job(database, state=state)
    page = opened("/jobs")
    page.evaluate("""() => ["failed", "paused"].forEach((state) => document.getElementById(`state-${state}`).click())""")
    expect(page.locator(".jobs tbody tr")).to_have_count(2)
    page.wait_for_url("**/jobs?state=paused&state=failed")


def test_jobs_are_grouped_with_a_sparkline_each(opened: Opening, database: Database) -> None:
    for number in range(7):
        finished_job(database, blocks=1, model="org/measured", labels={"team": "search"} if number else {})
    insert_job(database, model="org/queued", labels={"team": "ads"})
    page = opened("/jobs")
    page.get_by_text("Sort, group, columns").click()
    page.get_by_label("Group by").select_option("model")
    page.wait_for_url("**group=model")
    heads = page.locator(".group-head")
    expect(heads).to_contain_text(["org/queued", "org/measured"])
    expect(heads.nth(1)).to_contain_text("7 jobs")
    expect(heads.nth(1).get_by_role("img", name="perplexity 25.45 at 50 %")).to_be_visible()
    expect(heads.nth(0).get_by_role("img")).to_have_count(0)
    expect(page.locator(".pick")).to_have_count(6)  # five of a group at most
    assert violations(page) == []
    page.get_by_role("link", name="All 7 jobs of org/measured").click()
    expect(page.locator(".pick")).to_have_count(7)
    expect(page.get_by_label("Group by")).to_have_value("")
    page.get_by_label("Group by").select_option("label:team")
    expect(heads).to_contain_text(["team=search", "without the label team"])
    page.get_by_role("link", name="Remove the filter model org/measured").click()
    expect(heads).to_have_count(3)


def test_the_bar_says_why_something_cannot_be_done(opened: Opening, database: Database) -> None:
    for state in (*[JobState.SUCCEEDED] * 6, JobState.QUEUED, JobState.CANCELLING):
        insert_job(database, state=state)
    page = opened("/jobs")
    reason, compare = page.locator("#why-not"), page.get_by_role("button", name="Compare selected")
    expect(page.locator("#bulk")).to_be_hidden()
    page.locator(".pick[data-state=succeeded]").first.check()
    expect(reason).to_have_text("select another job to compare it with; 1 of 1 selected has ended")
    expect(page.get_by_role("button", name="Cancel selected")).to_be_disabled()
    page.locator(".pick[data-state=queued]").check()
    expect(reason).to_have_text("1 of 2 selected has ended")
    expect(page.get_by_role("button", name="Cancel 1 of 2")).to_be_enabled()
    expect(compare).to_be_enabled()
    assert violations(page) == []
    page.get_by_label("Select all jobs").check()
    expect(reason).to_contain_text("6 of 8 selected have ended; 1 of 8 selected is being cancelled already")
    page.get_by_role("button", name="Clear selection").click()
    expect(page.locator("#bulk")).to_be_hidden()


def test_columns_are_chosen_and_stay_in_the_address(opened: Opening, database: Database) -> None:
    finished_job(database, blocks=1, name="baseline")
    page = opened("/jobs")
    expect(page.locator(".of-perplexity")).to_have_text(re.compile(r"25\.\d+\s+\+76 %"))
    page.get_by_text("Sort, group, columns").click()
    page.get_by_role("checkbox", name="Priority").check()
    expect(page.get_by_role("columnheader", name="Priority")).to_be_visible()
    page.get_by_role("checkbox", name="Perplexity").uncheck()
    expect(page.get_by_role("columnheader", name="Perplexity")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("columnheader", name="Priority")).to_be_visible()
    expect(page.locator(".of-perplexity")).to_have_count(0)


def test_phones_show_cards_instead_of_a_table(opened: Opening, database: Database) -> None:
    finished_job(database, blocks=1, name="a name without any blank " + "x" * 80, labels={"team": "y" * 90})
    insert_job(database, labels={})
    page = opened("/jobs", size="phone", scheme="dark")
    expect(page.locator(".jobs thead")).to_be_hidden()
    assert page.locator(".of-agreement").first.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Agreement"'
    expect(page.locator(".of-agreement").first).to_be_hidden()  # not measured
    expect(page.locator(".of-perplexity").first).to_be_hidden()
    expect(page.locator(".of-agreement").nth(1)).to_be_visible()
    for place in page.locator(".jobs tr, .jobs td, .jobs th").all():
        assert place.evaluate("cell => cell.getBoundingClientRect().right <= innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_text("Sort, group, columns").click()
    page.get_by_label("Sort by").select_option("perplexity")
    page.wait_for_url("**sort=perplexity")
    page.locator(".pick").first.check()
    expect(page.locator("#bulk")).to_be_visible()
    assert violations(page) == []


def test_ids_are_copied_whole_and_times_are_relative(opened: Opening, database: Database) -> None:
    job = insert_job(database, created_at=datetime.now(UTC) - timedelta(hours=3, minutes=5))
    page = opened("/jobs")
    expect(page.locator(".of-created time")).to_have_text("3 h ago")
    expect(page.locator(".of-created time")).to_have_attribute("title", re.compile(r"\d{4}.*\d\d:\d\d:\d\d UTC"))
    copy = page.get_by_role("button", name=f"Copy the id {job}")
    expect(copy).to_have_text(str(job)[:8])
    expect(copy).to_have_attribute("title", str(job))
    copy.click()
    expect(page.locator("#said")).to_contain_text(str(job))
    expect(copy).to_be_focused()


def test_the_list_is_filtered_without_scripts(chromium: Browser, url: str, key: str, database: Database) -> None:
    insert_job(database, model="org/found", state=JobState.FAILED)
    insert_job(database, model="org/other", state=JobState.FAILED)
    context = chromium.new_context(viewport=SIZES["desk"], java_script_enabled=False)  # type: ignore[arg-type]
    context.add_cookies([{"name": COOKIE, "value": session_of(url, key), "url": url}])
    page = context.new_page()
    page.goto(f"{url}/jobs")
    page.locator("#state-failed").click()
    page.get_by_label("Search", exact=True).fill("model:found")
    page.get_by_role("button", name="Show").click()
    expect_titles(page, "org/found")
    assert "state=failed" in page.url
    expect(page.locator(".of-created time")).to_contain_text("UTC")
    context.close()


def test_the_order_survives_live_updates(opened: Opening, database: Database) -> None:
    for name in ("org/b", "org/c"):
        insert_job(database, model=name)
    page = opened("/jobs?sort=name")
    expect_titles(page, "org/b", "org/c")
    heading = page.locator("#by-name")
    heading.focus()
    insert_job(database, model="org/a", state=JobState.RUNNING)
    expect_titles(page, "org/a", "org/b", "org/c")
    expect(heading).to_be_focused()
    page.keyboard.press("Enter")
    expect_titles(page, "org/c", "org/b", "org/a")
    expect(heading).to_be_focused()


def test_search_and_sorting_work_with_the_keyboard(opened: Opening, database: Database) -> None:
    insert_job(database, model="org/found")
    insert_job(database, model="org/other")
    page = opened("/jobs")
    reach(page, "", by="#q")
    page.keyboard.type("OUND")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=OUND**")
    expect(page.locator(".jobs tbody tr")).to_have_count(1)
    reach(page, "Duration", by="a")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=duration**")
    expect(page.get_by_role("columnheader", name="Duration")).to_have_attribute("aria-sort", "ascending")


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
