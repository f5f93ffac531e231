"""The page that lists jobs, by HTTP: searching, sorting and filtering go together, also over pages and into CSV."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.jobs.groups import repository as groups
from service.jobs.groups.repository import Grouping
from service.jobs.repository import JobFilter
from service.jobs.sorting import JobOrder
from tests.support.api_server import BODY, insert_job
from tests.support.dashboard_jobs import HOSTILE, many_jobs
from tests.support.html_pages import Parsed
from tests.support.statements import analyse, assert_bounded_work

NOW = datetime.now(UTC)


def listed(page: Parsed) -> list[str]:
    return [str(box["value"]) for box in page.all("input") if box.get("class") == "pick"]


def chosen(page: Parsed) -> set[tuple[str, str]]:
    """What a submission of the form sends besides the columns, the default order and empty fields."""
    fields = [
        (field["name"], field["value"]) for field in page.all("input") if field.get("name") not in (None, "column", "csrf_token")
    ]
    options = [option["value"] for option in page.all("option") if "selected" in option]
    return {(str(name), str(value)) for name, value in fields if value} | {("sort", str(value)) for value in options if value}


def link(page: Parsed, name: str) -> str:
    [found] = [each["href"] for each in page.all("a") if each.get("id") == name]
    return str(found)


def asked_by(address: str) -> list[tuple[str, str]]:
    return sorted(pair for pair in parse_qsl(urlsplit(address).query) if pair[0] != "cursor")


def test_links_and_csv_keep_filter_search_and_order(visitor: httpx.Client, database: Database) -> None:
    for number in range(120):
        insert_job(database, model=f"org/Model-{number:03}", labels={"team": "search"}, created_at=NOW - timedelta(hours=number))
    insert_job(database, model="org/model-x", state=JobState.PAUSED, labels={"team": "search"})
    insert_job(database, model="other", labels={"team": "search"})
    wanted = {"state": "queued", "q": "MODEL", "label": "team=search", "sort": "-model"}
    page = Parsed(visitor.get("/jobs", params=wanted).text)
    walked = listed(page)
    for _ in range(2):
        assert asked_by(link(page, "older")) == sorted(wanted.items())
        page = Parsed(visitor.get(link(page, "older")).text)
        walked += listed(page)
    assert [each for each in page.all("a") if each.get("id") == "older"] == []
    assert asked_by(link(page, "newest")) == sorted(wanted.items())
    names = [link(page, f"by-{column}") for column in ("name", "state", "sparsity", "perplexity", "size", "created_at")]
    assert {pair for name in names for pair in asked_by(name) if pair[0] != "sort"} == {
        pair for pair in wanted.items() if pair[0] != "sort"
    }
    assert chosen(page) == set(wanted.items())
    exported = next(str(each["href"]) for each in page.all("a") if str(each.get("href")).startswith("/jobs.csv"))
    rows = list(csv.DictReader(io.StringIO(visitor.get(exported).text)))
    assert [row["id"] for row in rows] == walked
    assert [row["model"] for row in rows] == [f"org/Model-{number:03}" for number in reversed(range(120))]


@pytest.mark.parametrize(
    ("sort", "column", "direction", "turned"),
    [
        ("", "created_at", "descending", "created_at"),
        ("created_at", "created_at", "ascending", "-created_at"),
        ("name", "name", "ascending", "-name"),
        ("-perplexity", "perplexity", "descending", "perplexity"),
        ("-sparsity", "sparsity", "descending", "sparsity"),
    ],
)
def test_headings_show_and_reverse_the_order(
    visitor: httpx.Client, database: Database, sort: str, column: str, direction: str, turned: str
) -> None:
    insert_job(database)
    page = Parsed(visitor.get("/jobs", params={"sort": sort}).text)
    assert [each["aria-sort"] for each in page.all("th") if "aria-sort" in each] == [direction]
    assert dict(asked_by(link(page, f"by-{column}")))["sort"] == turned


def test_an_invalid_filter_is_reported_and_the_rest_kept(visitor: httpx.Client) -> None:
    answer = visitor.get("/jobs", params={"sort": "colour", "q": "a\0b", "model": "org/a"})
    assert answer.status_code == 422
    assert "jobs cannot be sorted by &#39;colour&#39;" in answer.text
    assert "must not contain NUL characters" in answer.text
    assert 'value="ab"' in answer.text
    assert 'value="org/a"' in answer.text
    assert visitor.get("/jobs", params={"q": "x" * 1025}).status_code == 422


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"q": "preset:cheap"}, "there is no preset &#39;cheap&#39;; use one of fast, balanced"),
        ({"q": "label:=search"}, "label:=search has no name; write label:team, or label:team=search"),
        ({"q": "label:a=1 label:a=2"}, "label:a has two values"),
        ({"label": "team"}, "label takes name=value pairs separated by spaces, not &#39;team&#39;"),
        ({"group": "colour"}, "jobs cannot be grouped by &#39;colour&#39;; use model, sweep or label:NAME"),
        ({"group": "label:"}, "jobs cannot be grouped by &#39;label:&#39;"),
        ({"column": "colour"}, "there is no column &#39;colour&#39;; use state, model, sparsity"),
        ({"state": "broken"}, "there is no state &#39;broken&#39;"),
    ],
)
def test_bad_parameters_are_named_with_a_remedy(visitor: httpx.Client, asked: dict[str, str], message: str) -> None:
    answer = visitor.get("/jobs", params=asked)
    assert answer.status_code == 422
    assert message in answer.text


def test_links_of_other_pages_still_filter(visitor: httpx.Client, database: Database) -> None:
    wanted = insert_job(database, model="org/a", labels={"team": "search", "note": "a b"})
    insert_job(database, model="org/ab", labels={"team": "search"})
    insert_job(database, model="org/a", labels={"team": "ads"})
    page = Parsed(visitor.get("/jobs", params={"model": "org/a", "label": "team=search"}).text)
    assert listed(page) == [str(wanted)]
    assert asked_by(link(page, "remove-model")) == [("label", "team=search")]
    assert dict(asked_by(link(page, f"label-{wanted}-1")))["q"] == 'label:"note=a b"'
    assert listed(Parsed(visitor.get(link(page, f"label-{wanted}-1")).text)) == [str(wanted)]


def test_a_preset_with_another_setting_is_shown_as_changed(visitor: httpx.Client, database: Database) -> None:
    for recipe in ({"preset": "fast"}, {"preset": "fast", "criterion": "ria"}, {"criterion": "wanda"}):
        insert_job(database, spec=JobSpec.model_validate(BODY | {"recipe": recipe}).model_dump(mode="json"))
    text = visitor.get("/jobs").text
    assert text.count(">fast<") == 1
    assert ">fast, changed<" in text
    assert ">wanda, then dsnot<" in text


def test_clearing_the_filters_keeps_order_grouping_and_columns(visitor: httpx.Client, database: Database) -> None:
    insert_job(database)
    kept = {"sort": "name", "group": "model", "column": "state"}
    filters = {"state": "queued", "model": "org/a", "label": "a=b", "sweep": str(uuid4()), "q": "preset:best"}
    page = Parsed(visitor.get("/jobs", params=kept | filters).text)
    for each in ("clear", "clear-here"):
        assert asked_by(link(page, each)) == sorted(kept.items())


def test_sparklines_take_the_newest_measured_jobs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, perplexity in ((0, 30.0), (1, 20.0), (2, 10.0)):
        pruned = {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": perplexity}]}
        insert_job(database, created_at=NOW - timedelta(hours=age), metrics={"pruned": pruned})
    insert_job(database, created_at=NOW + timedelta(hours=1))
    monkeypatch.setattr(groups, "MOST_COMPARED", 2, raising=False)
    with database.begin() as session:
        found = groups.measured(session, JobFilter([], None, {}), Grouping("model"), [BODY["model"]["id"]], tenant="acme")
    assert [each.perplexity for each in found] == [20.0]


def test_more_jobs_than_are_counted_are_at_least_so_many(
    visitor: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state, count in ((JobState.QUEUED, 2), (JobState.SUCCEEDED, 5), (JobState.FAILED, 3)):
        for _ in range(count):
            insert_job(database, state=state)
    insert_job(database, state=JobState.QUEUED, deleted_at=NOW)
    insert_job(database, state=JobState.CANCELLED, deleted_at=NOW)
    monkeypatch.setattr(groups, "MOST_COUNTED", 3)
    monkeypatch.setattr("service.dashboard.formats.MOST_COUNTED", 3)

    def counts(path: str) -> list[str]:
        return [each.split("<")[0] for each in visitor.get(path).text.split('<span class="count">')[1:]]

    assert counts("/jobs") == ["8+", "2", "3+", "3"]
    assert "2 jobs" in visitor.get("/jobs?state=queued").text
    assert "6+ jobs" in visitor.get("/jobs?state=succeeded&state=failed").text
    assert [each for each in counts("/") if each != "0"] == ["2", "3+", "3"]


def test_a_cursor_of_another_order_is_refused_with_a_message(visitor: httpx.Client, database: Database) -> None:
    many_jobs(database, 60)
    cursor = dict(parse_qsl(urlsplit(link(Parsed(visitor.get("/jobs?sort=model").text), "older")).query))["cursor"]
    answer = visitor.get("/jobs", params={"sort": "state", "cursor": cursor})
    assert answer.status_code == 422
    assert "is not a cursor of this list; omit it to start from the beginning" in answer.text


def test_a_search_for_markup_is_rendered_as_text(visitor: httpx.Client, database: Database) -> None:
    job = insert_job(database, labels={"team": HOSTILE})
    page = Parsed(visitor.get("/jobs", params={"q": HOSTILE[:40]}).text)
    assert listed(page) == [str(job)]
    assert [field["value"] for field in page.all("input") if field.get("id") == "q"] == [HOSTILE[:40]]


def test_listing_ten_thousand_jobs_takes_few_queries(visitor: httpx.Client, database: Database) -> None:
    many_jobs(database, 10_000)
    analyse(database)
    asked: list[dict[str, Any]] = [{"sort": order} for order in JobOrder]
    asked += [
        {"group": "model"},
        {"group": "label:team", "sort": "perplexity"},
        {"q": "label:team=team-3 preset:best model:odel-1"},
    ]
    asked += [{"q": "MODEL-39"}, {"q": "nowhere", "sort": "-finished_at"}, {"q": "team-3", "sort": "state"}]
    for params in asked:
        path = str(httpx.URL("/jobs", params=params))
        rows = 300_000 if "group" in params else 150_000  # groups read the list three times more
        assert_bounded_work(lambda: visitor.get(path), database, rows=rows)  # noqa: B023
