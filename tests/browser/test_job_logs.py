"""The log of a job on its page."""

from uuid import UUID

import pytest
from playwright.sync_api import expect

from service.contract.logs import LogLevel
from service.contract.states import JobState
from service.database.engine import Database
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, violations
from tests.support.api_server import insert_job, set_job
from tests.support.cut_line import line_to
from tests.support.dashboard_jobs import HOSTILE
from tests.support.log_rows import write_lines
from tests.support.page_jobs import is_unbroken, mark
from tests.support.settling import settle

IS_AT_END = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 2"


@pytest.fixture
def job(database: Database) -> UUID:
    job = insert_job(database, state=JobState.RUNNING, stage="pruning", attempts_started=2)
    write_lines(database, job, *(f"block_pruned block={number}" for number in range(60)))
    return job


def test_new_lines_appear_at_the_end_and_stay_in_view(opened: Opening, database: Database, job: UUID) -> None:
    page = opened(f"/jobs/{job}/logs")
    mark(page)
    page.locator("#logs").scroll_into_view_if_needed()
    box, lines = page.locator("#log-box"), page.locator("#log-lines .log-line")
    expect(lines).to_have_count(60)
    assert box.evaluate(IS_AT_END)
    write_lines(database, job, f"second {HOSTILE}", attempt=2, level=LogLevel.WARNING)
    expect(lines).to_have_count(61)
    expect(lines.last).to_contain_text(f"warning pruning second {HOSTILE}")
    expect(page.locator(".log-attempt")).to_have_text(["Attempt 1, times in UTC", "Attempt 2, times in UTC"])
    assert box.evaluate(IS_AT_END)
    box.evaluate("box => { box.scrollTop = 0; }")
    write_lines(database, job, "third", attempt=2)
    expect(lines).to_have_count(62)
    assert box.evaluate("box => box.scrollTop") == 0, "a reader of older lines is not disturbed"
    assert is_unbroken(page)


def test_the_first_line_replaces_the_note_that_there_is_none(opened: Opening, database: Database) -> None:
    job = insert_job(database, state=JobState.RUNNING)
    page = opened(f"/jobs/{job}/logs")
    page.locator("#logs").scroll_into_view_if_needed()
    expect(page.locator("#log-none")).to_have_text("No lines yet.")
    write_lines(database, job, "job_claimed")
    expect(page.locator("#log-lines code")).to_have_text(["job_claimed"])
    expect(page.locator("#log-none")).to_be_hidden()


def test_a_filter_applies_to_stored_and_to_new_lines(opened: Opening, database: Database, job: UUID) -> None:
    write_lines(database, job, "tight", level=LogLevel.WARNING)
    page = opened(f"/jobs/{job}/logs")
    page.get_by_label("Level").select_option("warning")
    page.wait_for_url("**level=warning**")
    expect(page.get_by_label("Level")).to_have_value("warning")
    page.locator("#logs").scroll_into_view_if_needed()
    expect(page.locator("#log-lines code")).to_have_text(["tight"])
    write_lines(database, job, "fine", "also fine")
    write_lines(database, job, "broken", level=LogLevel.ERROR)
    expect(page.locator("#log-lines code")).to_have_text(["tight", "broken"])


def test_the_stream_resumes_where_it_was_cut(opened: Opening, database: Database, job: UUID, url: str) -> None:
    with line_to(url) as line:
        page = opened(f"/jobs/{job}/logs", at=line.url, excused="net::ERR")
        page.locator("#logs").scroll_into_view_if_needed()
        write_lines(database, job, "a")
        expect(page.locator("#log-lines code").last).to_have_text("a")
        line.cut()
        expect(page.locator("#connection")).to_contain_text("Connection lost")
        write_lines(database, job, "b", "c")
        line.mend()
        expect(page.locator("#log-lines code").last).to_have_text("c")
        assert page.locator("#log-lines code").all_inner_texts()[-3:] == ["a", "b", "c"]


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_the_log_is_accessible_and_wraps(opened: Opening, database: Database, job: UUID, scheme: str, size: str) -> None:
    write_lines(database, job, "x" * 4000, "RuntimeError: " + "word " * 200, level=LogLevel.ERROR)
    set_job(database, job, state=JobState.FAILED)
    page = opened(f"/jobs/{job}/logs?level=error", size=size, scheme=scheme)
    settle(page)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#log-box").evaluate("box => box.scrollWidth <= box.clientWidth")
