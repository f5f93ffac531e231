"""The log on the page of a job, by HTTP."""

import re
from uuid import UUID

import httpx
import pytest

from service.contract.logs import LogLevel
from service.contract.states import JobState
from service.dashboard.job_logs import log_of
from service.database.engine import Database
from service.jobs.logs.repository import LineFilter
from tests.support.api_server import insert_job
from tests.support.job_rows import job_row
from tests.support.log_rows import write_lines

LINE = re.compile(r'<li class="log-line at-(\w+)">.*?<code>(.*?)</code></li>')


@pytest.fixture
def job_id(database: Database) -> UUID:
    job_id = insert_job(database, state=JobState.FAILED, attempts_started=2)
    write_lines(database, job_id, *(f"line-{number}" for number in range(30)))
    write_lines(database, job_id, "tight <memory>", attempt=2, level=LogLevel.WARNING)
    return job_id


def shown(page: httpx.Response) -> list[tuple[str, str]]:
    assert page.status_code == 200
    return LINE.findall(page.text.partition('id="log-lines"')[2].partition("</ol>")[0])


def test_lines_are_in_order_with_the_newest_at_the_end_and_escaped(visitor: httpx.Client, job_id: UUID) -> None:
    found = shown(visitor.get(f"/jobs/{job_id}"))
    assert found == [*(("info", f"line-{number}") for number in range(30)), ("warning", "tight &lt;memory&gt;")]


@pytest.mark.parametrize(
    ("query", "count"),
    [("attempt=2", 1), ("level=warning", 1), ("attempt=1&level=warning", 0), ("attempt=9", 0), ("attempt=x&level=loud", 31)],
)
def test_lines_are_filtered_and_a_bad_filter_is_ignored(visitor: httpx.Client, job_id: UUID, query: str, count: int) -> None:
    page = visitor.get(f"/jobs/{job_id}?{query}")
    assert len(shown(page)) == count
    assert ('id="log-none" class="quiet" hidden' in page.text) == (count > 0)


def test_the_page_shows_the_newest_lines_and_where_all_are(visitor: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *(["x"] * 300))
    page = visitor.get(f"/jobs/{job_id}")
    assert shown(page) == [("info", "x")] * 200
    assert f"/v1/jobs/{job_id}/logs?limit=1000" in page.text


def test_a_failed_job_s_last_lines_are_there_whatever_the_filter(database: Database, job_id: UUID) -> None:
    log = log_of(database, job_row(database, job_id), LineFilter(level=LogLevel.CRITICAL))
    assert log.lines == []
    assert [line.text for line in log.last] == [*(f"line-{number}" for number in range(11, 30)), "tight <memory>"]
    running = insert_job(database, state=JobState.RUNNING)
    write_lines(database, running, "a")
    assert log_of(database, job_row(database, running), LineFilter()).last == ()


def test_a_job_without_lines_says_so(visitor: httpx.Client, database: Database) -> None:
    assert "No lines yet." in visitor.get(f"/jobs/{insert_job(database)}").text
    assert "No lines." in visitor.get(f"/jobs/{insert_job(database, state=JobState.CANCELLED)}").text
