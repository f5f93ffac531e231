"""Pages of sweeps by HTTP: lists, points, chosen measures, forms, and how much work they take."""

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, insert_job, key_for
from tests.support.browsing import browser, sign_in
from tests.support.dashboard_jobs import HOSTILE
from tests.support.html_pages import Parsed
from tests.support.statements import analyse, assert_bounded_work
from tests.support.sweep_points import DATASET, GRID, SEARCH, TEMPLATE, dispatch, end_job, run_queued, run_to_end

PERPLEXITY = f"perplexity:{DATASET}"


def created(api: httpx.Client, body: dict[str, Any]) -> str:
    answer = api.post("/v1/sweeps", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def rows(page: Parsed) -> list[dict[str, str | None]]:
    return [row for row in page.all("tr") if "data-series" in row]


def words(page: Parsed) -> str:
    return " ".join(page.text.split())


def names(page: Parsed) -> list[str]:
    """The points in the order of the table."""
    found = [str(link["id"]) for link in page.all("a") if str(link.get("id")).startswith("point-")]
    return [each.removeprefix("point-") for each in found]


def test_without_sweeps_the_list_explains_them(visitor: httpx.Client) -> None:
    page = Parsed(visitor.get("/sweeps").text)
    assert "finds the sparsest model that meets a target" in words(page)
    assert [link["href"] for link in page.all("a") if "button" in str(link.get("class"))] == ["/sweeps/new"]
    assert "No sweep is failed." in words(Parsed(visitor.get("/sweeps", params={"state": "failed"}).text))


def test_the_list_shows_answers_and_is_filtered_by_state(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings
) -> None:
    found = run_to_end(api, database, settings, created(api, SEARCH))
    running = created(api, GRID)
    run_queued(database, running, most=3)
    text = words(Parsed(visitor.get("/sweeps").text))
    assert found["search"]["text"] in text
    assert "3 succeeded, 9 queued" in text
    page = Parsed(visitor.get("/sweeps", params={"state": "running"}).text)
    assert [link["href"] for link in page.all("a") if str(link.get("id")).startswith("open-")] == [f"/sweeps/{running}"]


def test_a_finished_grid_shows_its_front_ratios_and_series(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID))
    page = Parsed(visitor.get(f"/sweeps/{sweep['id']}").text)
    assert [row["data-series"] for row in rows(page)] == [str(number) for number in range(3) for _ in range(4)]
    assert ["data-front" in row for row in rows(page)] == [point["on_front"] for point in sweep["table"]]
    [points] = [each for each in page.all("div") if each.get("id") == "points"]
    assert json.loads(str(points["data-series"])) == ["fast", "balanced", "best"]
    assert (points["data-dense"], points["data-log"]) == ("12.0", "yes")
    assert re.search(r"14\.12 \(×.1\.177\)", words(page))
    assert f"/jobs/{sweep['table'][0]['job_id']}/files" in [link.get("href") for link in page.all("a")]


def test_measures_scale_and_order_are_in_the_url(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID))
    asked = {"x": "packed_bytes", "y": f"top1_agreement:{DATASET}", "scale": "linear", "sort": f"-{PERPLEXITY}"}
    page = Parsed(visitor.get(f"/sweeps/{sweep['id']}", params=asked).text)
    shown = {point["position"]: point["figures"] for point in sweep["table"]}
    assert [int(name) for name in names(page)] == sorted(shown, key=lambda at: -shown[at][PERPLEXITY]["value"])
    first = shown[int(names(page)[0])]
    assert float(str(rows(page)[0]["data-x"])) == first["packed_bytes"]["value"]
    assert float(str(rows(page)[0]["data-y"])) == first[f"top1_agreement:{DATASET}"]["value"]
    [points] = [each for each in page.all("div") if each.get("id") == "points"]
    assert points["data-log"] == "no"
    assert [head["aria-sort"] for head in page.all("th") if "aria-sort" in head] == ["descending"]
    unknown = visitor.get(f"/sweeps/{sweep['id']}", params={"x": "colour", "y": "colour", "sort": "colour"})
    assert names(Parsed(unknown.text)) == [str(number) for number in range(12)]


def test_points_are_in_series_by_the_first_axis_where_the_preset_is_the_same(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings
) -> None:
    axes = {
        "/calibration/seed": [0, 1],
        "/recipe/pattern": [{"type": "unstructured", "sparsity": 0.5}, {"type": "n:m", "n": 2, "m": 4}],
    }
    sweep = run_to_end(api, database, settings, created(api, GRID | {"axes": axes}))
    page = Parsed(visitor.get(f"/sweeps/{sweep['id']}").text)
    assert [row["data-series"] for row in rows(page)] == ["0", "0", "1", "1"]
    assert len({row["data-line"] for row in rows(page)}) == 4, "no line joins n:m and unstructured points"
    assert '["seed 0", "seed 1"]' in [each.get("data-series") for each in page.all("div")]


def test_a_search_marks_its_candidates_and_its_open_interval(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = created(api, SEARCH)

    def scale() -> dict[str, Any]:
        page = Parsed(visitor.get(f"/sweeps/{sweep}").text)
        [found] = [json.loads(str(each["data-scale"])) for each in page.all("div") if each.get("id") == "scale"]
        return dict(found)

    assert [point["verdict"] for point in scale()["points"]] == ["queued"]
    run_queued(database, sweep)
    dispatch(database, settings)
    begun = scale()
    assert ([point["verdict"] for point in begun["points"]], begun["is_open"]) == (["misses", "queued"], True)
    assert (begun["low"], begun["names"][begun["high"]]) == (None, "55 %")
    run_to_end(api, database, settings, sweep)
    ended = scale()
    assert (ended["high"] - ended["low"], ended["is_open"]) == (1, False)


@pytest.mark.parametrize(
    ("change", "actions"),
    [("", ["pause", "cancel"]), ("pause", ["resume", "cancel"]), ("cancel", ["retry", "delete"])],
)
def test_actions_follow_the_state(
    visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings, change: str, actions: list[str]
) -> None:
    sweep = created(api, GRID)
    if change:
        api.post(f"/v1/sweeps/{sweep}/{change}")
        dispatch(database, settings)
    page = Parsed(visitor.get(f"/sweeps/{sweep}").text)
    assert [str(each["id"]) for each in page.all("button") if "data-method" in each] == [f"do-{name}" for name in actions]


def test_readers_are_offered_no_changes(url: str, api: httpx.Client, database: Database) -> None:
    sweep = created(api, GRID)
    with browser(url) as reader:
        sign_in(reader, key_for(database, Scope.JOBS_READ))
        page, listed = Parsed(reader.get(f"/sweeps/{sweep}").text), reader.get("/sweeps").text
        assert reader.get("/sweeps/new").status_code == 403
    assert [each for each in page.all("button") if "data-method" in each] == []
    assert "/sweeps/new" not in listed


def test_a_job_links_to_its_sweep_and_the_list_is_filtered_by_it(
    visitor: httpx.Client, api: httpx.Client, database: Database
) -> None:
    sweep = created(api, GRID)
    insert_job(database)
    job = api.get(f"/v1/sweeps/{sweep}").json()["table"][3]["job_id"]
    assert f"point 3 of sweep {sweep}" in words(Parsed(visitor.get(f"/jobs/{job}").text))
    page = Parsed(visitor.get("/jobs", params={"sweep": sweep}).text)
    assert len([box for box in page.all("input") if box.get("class") == "pick"]) == 12
    assert f"/jobs.csv?sweep={sweep}" in [link.get("href") for link in page.all("a")]
    assert visitor.get("/jobs", params={"sweep": "first"}).status_code == 422


def test_the_form_takes_over_a_job_without_what_its_preset_fills_in(visitor: httpx.Client, database: Database) -> None:
    body = BODY | {
        "recipe": {"preset": "fast", "pattern": {"type": "n:m", "n": 2, "m": 4}, "allocation": "uniform"},
        "calibration": {"seed": 7},
        "labels": {"team": HOSTILE},
    }
    job = insert_job(database, spec=JobSpec.model_validate(body).model_dump(mode="json"))
    page = Parsed(visitor.get("/sweeps/new", params={"from": str(job)}).text)
    assert [box["value"] for box in page.all("input") if box.get("name") == "/axes/ids" and "checked" in box] == ["fast"]
    assert [field["value"] for field in page.all("input") if field.get("name") == "/template/model/id"] == ["facebook/opt-125m"]
    template = json.loads(re.findall(r"\{\n.*?\n\}", page.text, re.DOTALL)[0])
    assert template["recipe"] == {"pattern": {"type": "n:m", "n": 2, "m": 4}}
    assert template["calibration"]["seed"] == 7
    assert template["labels"] == {"team": HOSTILE}
    assert "model" not in template


def test_a_failed_point_shows_its_code(visitor: httpx.Client, api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, GRID | {"name": HOSTILE})
    job = api.get(f"/v1/sweeps/{sweep}").json()["table"][0]["job_id"]
    end_job(
        database,
        UUID(job),
        state=JobState.FAILED,
        error={"code": "worker-lost", "detail": "The worker is lost.", "retryable": True},
    )
    run_queued(database, sweep)
    dispatch(database, settings)
    page = Parsed(visitor.get(f"/sweeps/{sweep}").text)
    assert "failed worker-lost" in words(page)
    assert "worker-lost at 1 point: The worker is lost." in words(page)
    assert HOSTILE in page.text
    assert [image for image in page.all("img") if image["src"] == "x"] == []


def test_pages_of_two_hundred_points_take_few_queries_and_bytes(
    visitor: httpx.Client, api: httpx.Client, database: Database
) -> None:
    axes = {"/calibration/seed": list(range(10)), "/recipe/pattern/sparsity": [number / 100 for number in range(40, 60)]}
    sweep = created(api, {"template": TEMPLATE, "axes": axes})
    run_queued(database, sweep)
    analyse(database)
    for path in ("/sweeps", f"/sweeps/{sweep}", "/sweeps/new"):
        assert_bounded_work(lambda: visitor.get(path), database)  # noqa: B023
        assert len(visitor.get(path).content) < 300_000, path
