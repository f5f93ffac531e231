"""What goes wrong while a page is open is said on it, with what to do; what was chosen stays, and it goes on by itself."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from service.contract.states import JobState
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
def test_a_live_page_reports_an_outage_and_recovers(opened: Opening, database: Database, path: str) -> None:
    insert_job(database)
    page = opened(path, excused="503")
    mark(page)
    address = page.url
    page.route(address, is_away)
    expect(page.locator("#connection")).to_contain_text("The service currently answers with 503")
    page.unroute(address)
    expect(page.locator("#connection")).to_be_hidden()
    assert is_unbroken(page)


def has_no_answer(route: Route) -> None:
    route.fulfill(status=502, content_type="text/html", body="<h1>502 Bad Gateway</h1>")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [(is_away, "Temporarily unavailable: the database does not answer."), (has_no_answer, "The service does not answer")],
)
def test_a_failed_action_is_reported_and_can_be_repeated(
    opened: Opening, database: Database, answer: Callable[[Route], None], sentence: str
) -> None:
    job = insert_job(database)
    page = opened(f"/jobs/{job}", excused="the server responded with a status of")
    page.route("**/v1/jobs/*/pause", answer)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#failure")).to_contain_text(sentence)
    page.unroute("**/v1/jobs/*/pause")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status .headline")).to_contain_text("paused")
    expect(page.locator("#failure")).to_be_hidden()


def test_unreadable_figures_are_not_shown_as_missing(opened: Opening, database: Database) -> None:
    page = opened("/", excused="503")
    page.route("**/v1/jobs/*/layers*", is_away)
    page.goto(f"{page.url}jobs/{finished_job(database)}/layers")
    expect(page.locator("#layers-none")).to_contain_text("The results cannot be loaded now")


def test_the_selection_in_the_list_survives_a_lost_connection(opened: Opening, database: Database, url: str) -> None:
    job = insert_job(database)
    with line_to(url) as line:
        page = opened("/jobs", at=line.url, excused="net::ERR")
        mark(page)
        page.locator(f"#pick-{job}").check()
        line.cut()
        expect(page.locator("#connection")).to_contain_text("Connection lost. This page may be outdated")
        set_job(database, job, state=JobState.RUNNING)
        line.mend()
        expect(page.locator("#connection")).to_be_hidden()
        expect(page.locator(".jobs .state.running")).to_have_count(1)
        expect(page.locator(f"#pick-{job}")).to_be_checked()
        assert is_unbroken(page)
