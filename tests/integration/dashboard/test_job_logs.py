"""The log on the page of a job, by HTTP."""

import re
from uuid import UUID

import httpx
import pytest

from service.contract.logs import LogLevel
from service.contract.states import JobState
from service.database.engine import Database
from tests.support.api_server import insert_job
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
    found = shown(visitor.get(f"/jobs/{job_id}/logs"))
    assert found == [*(("info", f"line-{number}") for number in range(30)), ("warning", "tight &lt;memory&gt;")]


@pytest.mark.parametrize(
    ("query", "count"),
    [("attempt=2", 1), ("level=warning", 1), ("attempt=1&level=warning", 0), ("attempt=9", 0), ("attempt=x&level=loud", 31)],
)
def test_lines_are_filtered_and_a_bad_filter_is_ignored(visitor: httpx.Client, job_id: UUID, query: str, count: int) -> None:
    page = visitor.get(f"/jobs/{job_id}/logs?{query}")
    assert len(shown(page)) == count
    assert ('id="log-none" class="quiet" hidden' in page.text) == (count > 0)


def test_the_page_shows_the_newest_lines_and_where_all_are(visitor: httpx.Client, database: Database, job_id: UUID) -> None:
    write_lines(database, job_id, *(["x"] * 300))
    page = visitor.get(f"/jobs/{job_id}/logs")
    assert shown(page) == [("info", "x")] * 200
    assert f"/v1/jobs/{job_id}/logs?limit=1000" in page.text


def test_the_overview_of_a_failed_job_has_the_last_lines_of_its_last_attempt(
    visitor: httpx.Client, database: Database, job_id: UUID
) -> None:
    write_lines(database, job_id, *(f"late-{number}" for number in range(30)), attempt=2)
    page = visitor.get(f"/jobs/{job_id}").text
    assert "Last log lines of attempt 2" in page
    assert [text for _, text in LINE.findall(page)] == [f"late-{number}" for number in range(10, 30)]
    running = insert_job(database, state=JobState.RUNNING, attempts_started=1)
    write_lines(database, running, "a")
    assert LINE.findall(visitor.get(f"/jobs/{running}").text) == []


def test_another_tenant_s_log_has_no_page(visitor: httpx.Client, database: Database) -> None:
    assert visitor.get(f"/jobs/{insert_job(database, tenant='other')}/logs").status_code == 404


def test_a_job_without_lines_says_so(visitor: httpx.Client, database: Database) -> None:
    assert "No lines yet." in visitor.get(f"/jobs/{insert_job(database)}/logs").text
    assert "No lines." in visitor.get(f"/jobs/{insert_job(database, state=JobState.CANCELLED)}/logs").text
