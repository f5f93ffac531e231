"""The page of one model by HTTP: which points it shows, what it concludes, how much work it takes."""

import json
from typing import Any

import httpx
from sqlalchemy import text

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from tests.support.api_server import insert_job, key_for
from tests.support.browsing import browser, sign_in
from tests.support.dashboard_jobs import METRICS, finished_job
from tests.support.html_pages import Parsed
from tests.support.measured_models import MODEL, measured_job, measured_model
from tests.support.statements import analyse, assert_bounded_work

PAGE = f"/models/hub/{MODEL}"


def rows(page: Parsed) -> list[dict[str, Any]]:
    return [row for row in page.all("tr") if "data-x" in row]


def words(page: Parsed) -> str:
    return " ".join(page.text.split())


def bounds(visitor: httpx.Client) -> str:
    """Text of the page, with a space between terms and definitions."""
    return words(Parsed(visitor.get(PAGE).text.replace("<d", " <d")))


def attribute(page: Parsed, name: str) -> Any:
    [points] = [each for each in page.all("div") if each.get("id") == "points"]
    return points.get(name)


def test_points_have_series_front_and_dense_line(visitor: httpx.Client, database: Database) -> None:
    measured_model(database)
    page = Parsed(visitor.get(PAGE).text)
    assert json.loads(attribute(page, "data-series")) == ["fast", "balanced"]
    assert float(attribute(page, "data-dense")) == METRICS["dense"]["perplexity"][0]["perplexity"]
    assert [float(row["data-x"]) for row in rows(page)] == [0.4, 0.4, 0.5, 0.5, 0.5, 0.6, 0.7]
    assert [row["data-marked"] for row in rows(page) if "data-marked" in row] == ["2:4"]
    assert {float(row["data-x"]) for row in rows(page) if "data-front" in row} == {0.4, 0.5, 0.6, 0.7}


def test_the_sparsest_within_a_bound_is_named_by_recipe(visitor: httpx.Client, database: Database) -> None:
    measured_model(database)
    text = bounds(visitor)
    assert "≤ × 1.25 2:4 balanced, 50 % balanced, 40 % fast" in text
    assert "≤ × 1.1 none measured" in text
    measured_job(database, "balanced", 0.4, loss=-0.2)
    text = bounds(visitor)
    assert "≤ × 1.1 40 % balanced ≤" in text, "two measurements count with their mean"


def test_only_like_measurements_share_the_chart(visitor: httpx.Client, database: Database) -> None:
    measured_model(database)
    measured_job(database, "best", 0.5, windows=99)
    page = Parsed(visitor.get(PAGE).text)
    assert len(rows(page)) == 7
    assert "1 other job of this model was not measured under these conditions" in words(page)
    [other] = [option["value"] for option in page.all("option") if "windows=99" in str(option.get("value"))]
    assert len(rows(Parsed(visitor.get(PAGE, params={"on": other}).text))) == 1
    assert len(rows(Parsed(visitor.get(PAGE, params={"on": "of another time", "y": "none", "scale": "x"}).text))) == 7
    ratio = Parsed(visitor.get(PAGE, params={"y": "perplexity_ratio"}).text)
    assert (attribute(ratio, "data-dense"), len(rows(ratio))) == ("1.0", 7)


def test_changed_presets_are_series_of_their_own(visitor: httpx.Client, database: Database) -> None:
    measured_job(database, "fast", 0.5)
    measured_job(database, "fast", 0.5, criterion="ria")
    measured_job(database, None, 0.5, criterion="wanda")
    assert sorted(json.loads(attribute(Parsed(visitor.get(PAGE).text), "data-series"))) == [
        "fast",
        "fast, changed",
        "wanda, then dsnot",
    ]


def test_the_gap_fills_the_form_of_a_sweep(visitor: httpx.Client, database: Database) -> None:
    measured_model(database)
    page = Parsed(visitor.get(PAGE).text)
    [fill] = [link["href"] for link in page.all("a") if link.get("id") == "fill"]
    form = Parsed(visitor.get(str(fill)).text)
    ticked = [box["value"] for box in form.all("input") if box.get("name") == "/axes/ids" and "checked" in box]
    [values] = [box["value"] for box in form.all("input") if box.get("name") == "/axes/values"]
    measured = {("fast", "0.4"), ("fast", "0.5"), *(("balanced", each) for each in ("0.4", "0.5", "0.6", "0.7", "2:4"))}
    assert not {(preset, value) for preset in ticked for value in str(values).split(", ")} & measured
    assert (ticked, values) == (["fast", "best"], "2:4, 0.6, 0.7")
    assert [box["value"] for box in form.all("input") if box.get("name") == "/template/model/id"] == [MODEL]


def test_a_model_without_measurements_offers_a_sweep(visitor: httpx.Client, database: Database) -> None:
    insert_job(database)
    page = Parsed(visitor.get(PAGE).text)
    assert "No measurements yet" in words(page)
    [sweep] = [link["href"] for link in page.all("a") if str(link["href"]).startswith("/sweeps/new?")]
    form = Parsed(visitor.get(str(sweep)).text)
    assert [box["value"] for box in form.all("input") if box.get("name") == "/template/model/id"] == [MODEL]


def test_jobs_of_other_tenants_sources_and_unreadable_metrics_are_no_points(
    visitor: httpx.Client, url: str, database: Database
) -> None:
    finished_job(database, tenant="other")
    insert_job(database, state=JobState.SUCCEEDED, metrics={"pruned": {"perplexity": [{"perplexity": "x"}]}})
    insert_job(database, state=JobState.SUCCEEDED, spec={"written": "by another version"}, metrics={})
    assert "No measurements yet" in words(Parsed(visitor.get(PAGE).text))
    finished_job(database)
    assert len(rows(Parsed(visitor.get(PAGE).text))) == 1
    assert "No measurements yet" in words(Parsed(visitor.get(f"/models/local/{MODEL}").text))
    assert visitor.get(f"/models/elsewhere/{MODEL}").status_code == 404
    with browser(url) as reader:
        sign_in(reader, key_for(database, Scope.JOBS_READ))
        assert not [link for link in Parsed(reader.get(PAGE).text).all("a") if "new" in str(link["href"])]


TEN_THOUSAND_MORE = """
INSERT INTO jobs (id, tenant, state, spec, metrics, model, labels, priority, max_attempts, created_at)
SELECT lpad(to_hex(number), 32, '0')::uuid, 'acme', 'succeeded', spec, metrics, :model, '{}', 0, 3,
    now() - number * interval '1 minute'
FROM jobs, generate_series(1, 10000) AS number
WHERE id = :job
"""


def test_ten_thousand_jobs_of_one_model_take_few_queries_and_bytes(visitor: httpx.Client, database: Database) -> None:
    job = measured_job(database, "fast", 0.5)
    with database.begin() as session:
        session.execute(text(TEN_THOUSAND_MORE), {"job": job, "model": MODEL})
    analyse(database)
    assert_bounded_work(lambda: visitor.get(PAGE), database, statements=6, rows=25_000)
    answer = visitor.get(PAGE)
    assert len(answer.content) < 300_000
    assert "Only the newest 500 of this model’s succeeded jobs are shown." in answer.text
