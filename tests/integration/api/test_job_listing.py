"""The list of jobs in each of its orders, and searching it."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.jobs.sorting import JobOrder
from tests.support.api_server import insert_job, problem
from tests.support.job_pages import pages

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MODELS = ("org/Beta", "org/alpha", "Org/alpha", "other/gamma")


def made(database: Database, seed: int, count: int) -> dict[str, dict[str, Any]]:
    """Jobs of which many are alike in every column."""
    chosen = random.Random(seed)
    found = {}
    for _ in range(count):
        state, created = chosen.choice(list(JobState)), NOW - timedelta(seconds=chosen.randrange(4))
        ended = created + timedelta(seconds=chosen.randrange(3)) if state in TERMINAL_STATES else None
        values: dict[str, Any] = {
            "created_at": created,
            "finished_at": ended,
            "model": chosen.choice(MODELS),
            "priority": chosen.randrange(3),
            "name": chosen.choice((None, "Org/beta", "second")),
            "artifact_bytes": chosen.choice((None, 2**40, 7)),
        }
        started = created if chosen.random() < 0.5 else None
        share, measured = chosen.choice((0.5, 0.6)), chosen.choice((None, 12.5, 1e4))
        stored: dict[str, Any] = {"started_at": started, "spec": at_sparsity(share), "metrics": metrics(measured)}
        found[str(insert_job(database, state=state, **values, **stored))] = {
            "state": state,
            **values,
            "name": values["name"] or values["model"],
            "size": values["artifact_bytes"],
            "duration": (ended - started).total_seconds() if ended and started else None,
            "sparsity": share,
            "perplexity": measured,
            "agreement": measured and 1 / measured,
        }
    return found


def at_sparsity(share: float) -> dict[str, Any]:
    return {"model": {"id": "any"}, "recipe": {"pattern": {"type": "unstructured", "sparsity": share}}}


def metrics(perplexity: float | None) -> dict[str, Any] | None:
    """As a worker writes them; null: what has not been measured."""
    if perplexity is None:
        return None
    return {"pruned": {"perplexity": [{"perplexity": perplexity}]}, "agreement": [{"top1_agreement": 1 / perplexity}]}


def in_order(jobs: dict[str, dict[str, Any]], order: JobOrder) -> list[str]:
    """By sorting stably, the least important first: what has not ended is behind what has, in both directions."""
    is_up = order == JobOrder.OLDEST
    found = sorted(jobs, key=lambda job: (jobs[job]["created_at"], UUID(job).int), reverse=not is_up)
    if order.column == "created_at":
        return found
    known = [job for job in found if jobs[job][order.column] is not None]
    known.sort(key=lambda job: folded(jobs[job][order.column]), reverse=order.is_descending)
    return known + [job for job in found if jobs[job][order.column] is None]


def folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


@pytest.mark.parametrize("order", JobOrder)
def test_each_order_is_paginated_under_concurrent_inserts(api: httpx.Client, database: Database, order: JobOrder) -> None:
    jobs = made(database, 7, 60)
    walked: list[str] = []
    for page in pages(api, sort=str(order), limit=7):
        walked += page
        made(database, len(walked), 3)  # anywhere, also before what has been seen
    assert len(walked) == len(set(walked)), "none twice"
    assert [job for job in walked if job in jobs] == in_order(jobs, order), "none missed, and none at a wrong place"


@pytest.mark.parametrize("order", JobOrder)
def test_a_cursor_belongs_to_its_order(api: httpx.Client, database: Database, order: JobOrder) -> None:
    made(database, 1, 3)
    cursor = api.get("/v1/jobs", params={"sort": order, "limit": 1}).json()["next_cursor"]
    for other in JobOrder:
        answer = api.get("/v1/jobs", params={"sort": other, "cursor": cursor})
        if other == order:
            assert answer.status_code == 200
        else:
            assert problem(answer) == (422, "invalid-input", ["cursor"])
            assert "is not a cursor of this list; omit it to start from the beginning" in answer.text


def test_an_unknown_order_is_refused(api: httpx.Client) -> None:
    answer = api.get("/v1/jobs", params={"sort": "colour"})
    assert problem(answer)[::2] == (422, ["sort"])
    assert "-created_at" in answer.text


LABELS = {"team": "Search", "note": "50%_off\\x"}


@pytest.fixture
def found(api: httpx.Client, database: Database) -> Any:
    insert_job(database, id=UUID("0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"), model="meta-llama/Llama-3.1-8B", labels=LABELS)
    insert_job(database, id=UUID("1b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"), model="org/50-percent", labels={"team": "ads"})
    insert_job(database, id=UUID("2b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"), model="org/x_y", labels={})
    insert_job(database, model="theirs/llama", labels=LABELS, tenant="other")

    def search(text: str, **more: Any) -> str:
        items = api.get("/v1/jobs", params={"q": text, "sort": "model", **more}).json()["items"]
        return "".join(sorted(job["id"][0] for job in items))

    return search


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        ("", "012"),
        ("llama", "0"),
        ("LLAMA-3.1", "0"),
        ("search", "0"),
        ("team=", "01"),
        ("TEAM=sea", "0"),
        ("earch", "0"),
        ("0b8f1c1e", "0"),
        ("0B8F1C1E-54A5", "0"),
        ("b8f1c1e-54a5", ""),  # ids by their beginning alone
        ("50", "01"),
        ("50%", "0"),
        ("%", "0"),
        ("_", "02"),
        ("x_y", "2"),
        ("x.y", ""),
        ("\\", "0"),
        ("\\x", "0"),
        ("/", "012"),
        ("' OR 1=1 --", ""),
        ("{", ""),
        ('"', ""),
    ],
)
def test_jobs_are_found_by_a_part_of_their_names(found: Any, text: str, jobs: str) -> None:
    assert found(text) == jobs


def test_search_combines_with_filters_orders_and_pages(found: Any, api: httpx.Client, database: Database) -> None:
    many = {str(insert_job(database, model=f"org/Many-{number}")) for number in range(9)}
    assert found("o", model="org/x_y") == "2"
    assert found("team", **{"label.team": "ads"}) == "1"
    walked = list(pages(api, q="many", sort="model", limit=4))
    assert [len(page) for page in walked] == [4, 4, 1]
    assert {job for page in walked for job in page} == many


def test_jobs_are_found_by_their_name_and_their_preset(api: httpx.Client, database: Database) -> None:
    fast = {"model": {"id": "any"}, "recipe": {"preset": "fast"}}
    named = insert_job(database, name="Baseline 50%", spec=fast)
    plain = insert_job(database, model="org/baseline")
    for params, wanted in (
        ({"q": "BASELINE"}, {named, plain}),
        ({"q": "50%"}, {named}),
        ({"preset": "fast"}, {named}),
        ({"preset": ["fast", "best"], "q": "org"}, set()),
    ):
        found = {UUID(job["id"]) for job in api.get("/v1/jobs", params=params).json()["items"]}
        assert found == wanted, params
    answer = api.get("/v1/jobs", params={"preset": "cheap"})
    assert problem(answer) == (422, "invalid-input", ["preset"])


@pytest.mark.parametrize(
    "broken", [{"pruned": {"perplexity": [{"perplexity": "many"}]}}, {"pruned": {"perplexity": []}}, {"pruned": None}, {"a": 1}]
)
def test_metrics_of_another_version_do_not_break_the_order(api: httpx.Client, database: Database, broken: Any) -> None:
    odd = insert_job(database, metrics=broken, spec={"model": {"id": "any"}, "recipe": {"pattern": {"n": 2, "m": 0}}})
    good = insert_job(database, metrics=metrics(9.0), spec=at_sparsity(0.5))
    for sort in ("perplexity", "-perplexity", "sparsity", "-sparsity"):
        found = [job["id"] for job in api.get("/v1/jobs", params={"sort": sort}).json()["items"]]
        assert found == [str(good), str(odd)]


def test_the_longest_names_do_not_break_pages(api: httpx.Client, database: Database) -> None:
    jobs = {str(insert_job(database, model="𝕄" * 255 + str(number))) for number in range(3)}
    assert {job for page in pages(api, sort="model", limit=1) for job in page} == jobs


def test_searches_and_sorts_cover_the_newest_jobs_and_time_filters_reach_older_ones(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.repository.WINDOW", 3)
    jobs = [str(insert_job(database, model="org/model", created_at=NOW - timedelta(hours=age))) for age in range(6)]
    other = str(insert_job(database, model="other", created_at=NOW - timedelta(hours=7)))

    def listed(**parameters: str) -> list[str]:
        return [job for page in pages(api, limit=2, **parameters) for job in page]

    assert listed(q="org") == jobs[:3]
    assert sorted(listed(sort="name")) == sorted(jobs[:3])
    assert listed(q="org", created_before=(NOW - timedelta(hours=2, minutes=30)).isoformat()) == jobs[3:6]
    assert listed(model="other", sort="-finished_at") == [other], "a filter with an index comes first"
    assert listed() == [*jobs, other]
