"""What goes wrong while a page is open is said on it, with what to do; what was chosen stays, and it goes on by itself."""

import json

import pytest
from playwright.sync_api import Route, expect

from service.contract import JobState
from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.api_server import insert_job, set_job
from tests.support.cut_line import line_to
from tests.support.dashboard_jobs import finished_job
from tests.support.page_jobs import is_unbroken, mark

AWAY = {"type": "unavailable", "title": "Temporarily unavailable", "status": 503, "detail": "the database does not answer"}


def is_away(route: Route) -> None:
    route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(AWAY))


@pytest.mark.parametrize("path", ["/", "/jobs", "/workers"])
def test_a_page_that_follows_says_that_the_service_is_away_and_goes_on(opened: Opening, database: Database, path: str) -> None:
    insert_job(database)
    page = opened(path, excused="503")
    mark(page)
    address = page.url
    page.route(address, is_away)
    expect(page.locator("#connection")).to_contain_text("The service answers with 503")
    page.unroute(address)
    expect(page.locator("#connection")).to_be_hidden()
    assert is_unbroken(page)


def test_an_action_that_the_service_cannot_take_now_says_so_and_can_be_repeated(opened: Opening, database: Database) -> None:
    job = insert_job(database)
    page = opened(f"/jobs/{job}", excused="503")
    page.route("**/v1/jobs/*/pause", is_away)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#failure")).to_contain_text("Temporarily unavailable: the database does not answer.")
    page.unroute("**/v1/jobs/*/pause")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status .headline")).to_contain_text("paused")
    expect(page.locator("#failure")).to_be_hidden()


def test_figures_that_cannot_be_read_are_not_said_to_be_none(opened: Opening, database: Database) -> None:
    page = opened("/", excused="503")
    page.route("**/v1/jobs/*/layers*", is_away)
    page.goto(f"{page.url}jobs/{finished_job(database)}")
    expect(page.locator("#layers-none")).to_contain_text("The figures cannot be read now")


def test_what_is_ticked_in_the_list_outlives_a_lost_connection(opened: Opening, database: Database, url: str) -> None:
    job = insert_job(database)
    with line_to(url) as line:
        page = opened("/jobs", at=line.url, excused="net::ERR")
        mark(page)
        page.locator(f"#pick-{job}").check()
        line.cut()
        expect(page.locator("#connection")).to_contain_text("The connection is lost. What you see is old")
        set_job(database, job, state=JobState.RUNNING)
        line.mend()
        expect(page.locator("#connection")).to_be_hidden()
        expect(page.locator(".jobs .state.running")).to_have_count(1)
        expect(page.locator(f"#pick-{job}")).to_be_checked()
        assert is_unbroken(page)
