"""Sweeps over HTTP: creation, points, fronts, life cycle, searches."""

import csv
import io
import math
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select

from service.contract.devices import DeviceClass
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.jobs.attempts.repository import claim_next
from service.settings import Settings
from tests.support.api_server import client, key_for, problem, serving
from tests.support.sweep_points import (
    AXES,
    DATASET,
    GRID,
    SEARCH,
    TEMPLATE,
    dispatch,
    end_job,
    run_queued,
    run_to_end,
    sparsity_of,
)


def created(api: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = api.post("/v1/sweeps", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/sweeps/{found['id']}"
    return found


def refused(api: httpx.Client, body: dict[str, Any]) -> dict[str, str]:
    """The errors by their pointer."""
    answer = api.post("/v1/sweeps", json=body)
    assert problem(answer)[0] == 422, answer.text
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def event_types(api: httpx.Client, sweep: dict[str, Any]) -> list[str]:
    return [event["type"] for event in api.get(f"/v1/sweeps/{sweep['id']}/events").json()["items"]]


def counted(database: Database, table: type[Sweep] | type[Job]) -> int:
    with database.begin() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def test_every_combination_becomes_a_linked_job(api: httpx.Client) -> None:
    body = GRID | {"template": TEMPLATE | {"labels": {"team": "search"}, "priority": 3}}
    sweep = created(api, body)
    assert (sweep["state"], sweep["points"], sweep["jobs"]) == ("running", 12, {"queued": 12})
    wanted = list(product(*AXES.values()))
    assert [tuple(point["values"].values()) for point in sweep["table"]] == wanted
    assert sweep["table"][1]["text"] == "fast, 50 %"
    listed = api.get("/v1/jobs", params={"sweep": sweep["id"], "limit": 50}).json()["items"]
    assert {job["id"] for job in listed} == {point["job_id"] for point in sweep["table"]}
    assert {job["sweep_position"] for job in listed} == set(range(12))
    by_position = {job["sweep_position"]: job["spec"] for job in listed}
    for position, (preset, share) in enumerate(wanted):
        assert by_position[position]["recipe"]["preset"] == preset
        assert by_position[position]["recipe"]["pattern"] == {"type": "unstructured", "sparsity": share}
        assert (by_position[position]["labels"], by_position[position]["priority"]) == ({"team": "search"}, 3)
    assert sweep["labels"] == {"team": "search"}


def test_points_are_claimed_in_their_order(api: httpx.Client, database: Database) -> None:
    sweep = created(api, GRID)
    with database.begin() as session:
        claims = [claim_next(session, worker="w", device=DeviceClass.CPU, lease_seconds=60) for _ in range(12)]
    assert [str(each.job_id) for each in claims if each] == [point["job_id"] for point in sweep["table"]]


def test_one_key_creates_one_sweep(api: httpx.Client, database: Database) -> None:
    first, second = (created(api, GRID, **{"Idempotency-Key": "run-1"}) for _ in range(2))
    assert first["id"] == second["id"]
    assert (counted(database, Sweep), counted(database, Job)) == (1, 12)


def test_a_validation_creates_nothing_and_counts_the_points(api: httpx.Client, database: Database) -> None:
    plan = api.post("/v1/sweeps", params={"validate_only": "true"}, json=GRID).json()
    assert (plan["points"], len(plan["table"])) == (12, 12)
    search = api.post("/v1/sweeps", params={"validate_only": "true"}, json=SEARCH).json()
    assert (search["points"], search["table"][0]["text"]) == (8, "55 %")
    assert search["spec"]["target"]["dataset"] == DATASET
    assert (counted(database, Sweep), counted(database, Job)) == (0, 0)


def test_a_grid_finishes_with_its_front_and_its_table(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID)["id"])
    assert (sweep["state"], sweep["jobs"]) == ("finished", {"succeeded": 12})
    assert sweep["front"] == ["sparsity", f"perplexity:{DATASET}"]
    assert {point["preset"] for point in sweep["table"] if point["on_front"]} == {"best"}
    assert sweep["dense"][f"perplexity:{DATASET}"]["value"] == 12.0
    assert event_types(api, sweep) == ["created", *["point_ended"] * 12, "finished"]
    path = f"/v1/sweeps/{sweep['id']}"
    by_time = api.get(path, params={"front": ["packed_bytes", "top1_agreement", "seconds"]}).json()
    assert by_time["front"] == ["packed_bytes", f"top1_agreement:{DATASET}", "seconds"]
    rows = list(csv.DictReader(io.StringIO(api.get(f"{path}/points.csv").text)))
    assert [row["/recipe/preset"] for row in rows] == [point["preset"] for point in sweep["table"]]
    assert math.isclose(float(rows[0][f"perplexity:{DATASET}"]), sweep["table"][0]["figures"][f"perplexity:{DATASET}"]["value"])


@pytest.mark.parametrize(("front", "part"), [("sparsity", "two or three"), ("brightness", "is not measured")])
def test_a_front_of_unknown_measures_is_refused(
    api: httpx.Client, database: Database, settings: Settings, front: str, part: str
) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID)["id"])
    names = [front] if front == "sparsity" else [front, "seconds"]
    answer = api.get(f"/v1/sweeps/{sweep['id']}", params={"front": names})
    assert problem(answer) == (422, "invalid-input", ["front"])
    assert part in answer.json()["detail"]


def test_a_search_answers_the_sparsest_point_that_meets_its_target(
    api: httpx.Client, database: Database, settings: Settings
) -> None:
    sweep = run_to_end(api, database, settings, created(api, SEARCH)["id"])
    best = max(share / 100 for share in range(30, 81) if 0.25 * math.exp(9 * (share / 100 - 0.5)) <= math.log(1.3))
    assert sweep["search"]["end"] == "found"
    assert sparsity_of(sweep["search"]["answer"]) == pytest.approx(best)
    assert sparsity_of(sweep["search"]["next"]) == pytest.approx(best + 0.01)
    assert sweep["points"] <= 6
    assert "is the sparsest that meets the target" in sweep["search"]["text"]
    kept = [point["position"] for point in sweep["table"] if point["artifact_removed_at"] is None]
    assert kept == [sweep["search"]["answer"]["position"]]
    assert event_types(api, sweep)[-1] == "finished"
    assert event_types(api, sweep).count("point_added") == sweep["points"]


def test_the_same_search_chooses_the_same_points(api: httpx.Client, database: Database, settings: Settings) -> None:
    first, second = (run_to_end(api, database, settings, created(api, SEARCH)["id"]) for _ in range(2))
    assert [point["values"] for point in first["table"]] == [point["values"] for point in second["table"]]


def test_a_point_must_meet_the_target_with_its_whole_interval(api: httpx.Client, database: Database, settings: Settings) -> None:
    wide = 0.03
    found = {
        judged: run_to_end(api, database, settings, created(api, SEARCH | {"judge_by": judged})["id"], half_width=wide)
        for judged in ("interval", "mean")
    }
    careful, bold = (sparsity_of(found[judged]["search"]["answer"]) for judged in ("interval", "mean"))
    assert careful < bold
    assert 0.25 * math.exp(9 * (careful - 0.5)) + wide <= math.log(1.3)
    assert 0.25 * math.exp(9 * (bold - 0.5)) <= math.log(1.3)


def test_a_cheap_preset_narrows_the_range_first(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = run_to_end(api, database, settings, created(api, SEARCH | {"try_first": "fast"})["id"])
    presets = [point["preset"] for point in sweep["table"]]
    assert presets == sorted(presets, key=lambda name: name != "fast")
    assert {"fast", "best"} == set(presets)
    answer = sweep["table"][sweep["search"]["answer"]["position"]]
    assert answer["preset"] == "best"
    assert sweep["search"]["end"] == "found"
    assert sparsity_of(answer) == pytest.approx(
        max(s / 100 for s in range(30, 81) if 0.25 * math.exp(9 * (s / 100 - 0.5)) <= math.log(1.3))
    )


@pytest.mark.parametrize(
    ("target", "end"),
    [({"at_most_increase": 0.0001}, "none_meets"), ({"at_most_increase": 1e6}, "all_meet"), ({"at_most": 5.0}, "none_meets")],
)
def test_a_target_out_of_reach_is_an_answer(
    api: httpx.Client, database: Database, settings: Settings, target: dict[str, float], end: str
) -> None:
    sweep = run_to_end(api, database, settings, created(api, SEARCH | {"target": target})["id"])
    assert (sweep["state"], sweep["search"]["end"], sweep["points"]) == ("finished", end, 2)
    assert (sweep["search"]["answer"] is None) == (end == "none_meets")


_PATTERNS = [{"type": "n:m", "n": 2, "m": 4}, {"type": "unstructured", "sparsity": 0.4}, {"type": "n:m", "n": 1, "m": 4}]
_OF_PRESETS = {
    "template": TEMPLATE | {"recipe": {"pattern": {"sparsity": 0.52}}},
    "over": {"presets": ["fast", "balanced", "best"]},
    "target": {"metric": "top1_agreement", "at_least": 0.63},
}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"over": {"patterns": _PATTERNS}, "target": {"metric": "kl_divergence", "at_most": 0.2}}, "2:4"),
        (_OF_PRESETS, "balanced"),
    ],
)
def test_patterns_and_presets_can_be_searched(
    api: httpx.Client, database: Database, settings: Settings, body: dict[str, Any], answer: str
) -> None:
    sweep = run_to_end(api, database, settings, created(api, SEARCH | body)["id"])
    point = sweep["table"][sweep["search"]["answer"]["position"]]
    assert answer in (point["pattern"], point["preset"])
    assert sweep["search"]["end"] == "found"


def test_a_search_is_the_same_after_a_retry_of_its_failed_point(
    api: httpx.Client, database: Database, settings: Settings
) -> None:
    undisturbed = run_to_end(api, database, settings, created(api, SEARCH)["id"])
    sweep = created(api, SEARCH)
    run_queued(database, sweep["id"])
    dispatch(database, settings)
    second = api.get(f"/v1/sweeps/{sweep['id']}").json()["table"][1]["job_id"]
    error = {"code": "worker-lost", "detail": "the worker disappeared", "retryable": True}
    end_job(database, UUID(second), state=JobState.FAILED, error=error)
    dispatch(database, settings)
    failed = api.get(f"/v1/sweeps/{sweep['id']}").json()
    assert (failed["state"], failed["table"][1]["error"]["code"]) == ("failed", "worker-lost")
    again = api.post(f"/v1/sweeps/{sweep['id']}/retry").json()
    assert again["state"] == "running"
    assert again["table"][1]["job_id"] != second
    ended = run_to_end(api, database, settings, sweep["id"])
    assert [point["values"] for point in ended["table"]] == [point["values"] for point in undisturbed["table"]]
    assert ended["search"]["answer"] == undisturbed["search"]["answer"]
    assert "reopened" in event_types(api, sweep)


def test_a_point_retried_on_its_own_takes_its_place_again(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, GRID)
    lost = sweep["table"][4]["job_id"]
    end_job(database, UUID(lost), state=JobState.FAILED, error={"code": "internal", "detail": "x", "retryable": False})
    assert run_to_end(api, database, settings, sweep["id"])["state"] == "failed"
    retried = api.post(f"/v1/jobs/{lost}/retry").json()
    assert (retried["sweep_id"], retried["sweep_position"]) == (sweep["id"], 4)
    assert api.get(f"/v1/sweeps/{sweep['id']}").json()["state"] == "running"
    ended = run_to_end(api, database, settings, sweep["id"])
    assert (ended["state"], ended["points"], ended["table"][4]["job_id"]) == ("finished", 12, retried["id"])


def test_cancelling_ends_every_job(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, GRID)
    run_queued(database, sweep["id"], most=3)
    path = f"/v1/sweeps/{sweep['id']}"
    assert api.post(f"{path}/cancel").json()["jobs"] == {"succeeded": 3, "cancelled": 9}
    dispatch(database, settings)
    assert api.get(path).json()["state"] == "cancelled"
    assert api.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert problem(api.post(f"{path}/pause"))[:2] == (409, "conflict")


def test_the_dispatcher_completes_a_cancellation(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, GRID)
    with database.begin() as session:
        session.get_one(Sweep, UUID(sweep["id"])).state = "cancelling"
    dispatch(database, settings)
    assert api.get(f"/v1/sweeps/{sweep['id']}").json()["state"] == "cancelled"


def test_a_paused_search_adds_no_point_until_it_is_resumed(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, SEARCH)
    path = f"/v1/sweeps/{sweep['id']}"
    run_queued(database, sweep["id"])
    assert api.post(f"{path}/pause").json()["state"] == "paused"
    dispatch(database, settings)
    assert api.get(path).json()["points"] == 1
    assert api.post(f"{path}/resume").json()["state"] == "running"
    dispatch(database, settings)
    assert api.get(path).json()["points"] == 2
    assert run_to_end(api, database, settings, sweep["id"])["search"]["end"] == "found"


def test_pausing_and_resuming_a_grid_reaches_its_jobs(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, GRID)
    path = f"/v1/sweeps/{sweep['id']}"
    assert api.post(f"{path}/pause").json()["jobs"] == {"paused": 12}
    assert api.post(f"{path}/resume").json()["jobs"] == {"queued": 12}
    assert run_to_end(api, database, settings, sweep["id"])["state"] == "finished"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_deleted_sweep_takes_its_jobs_unless_they_are_kept(
    api: httpx.Client, database: Database, settings: Settings, keeps: bool
) -> None:
    sweep = created(api, GRID)
    path = f"/v1/sweeps/{sweep['id']}"
    assert problem(api.delete(path))[:2] == (409, "conflict")
    run_to_end(api, database, settings, sweep["id"])
    assert api.delete(path, params={"keep_jobs": str(keeps).lower()}).status_code == 204
    assert problem(api.get(path))[0] == 404
    job = api.get(f"/v1/jobs/{sweep['table'][0]['job_id']}")
    assert job.status_code == (200 if keeps else 404)
    if keeps:
        assert job.json()["sweep_id"] is None


def test_a_sweep_that_does_not_fit_the_quota_creates_nothing(settings: Settings, database: Database) -> None:
    with (
        serving(settings.model_copy(update={"max_queued_jobs": 5})) as url,
        client(url, key_for(database, Scope.JOBS_READ, Scope.JOBS_WRITE)) as api,
    ):
        answer = api.post("/v1/sweeps", json=GRID)
        assert problem(answer)[:2] == (429, "quota-exceeded")
        assert "12 jobs, and the queue has room for 5 of 5; take fewer points" in answer.json()["detail"]
        assert (counted(database, Sweep), counted(database, Job)) == (0, 0)
        plan = api.post("/v1/sweeps", params={"validate_only": "true"}, json=GRID).json()
        assert any("room for 5 of 5" in warning for warning in plan["warnings"])


def test_a_search_waits_while_the_queue_is_full(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = created(api, SEARCH)
    run_queued(database, sweep["id"])
    full = settings.model_copy(update={"max_queued_jobs": 1})
    other = created(api, SEARCH)
    dispatch(database, full)
    assert api.get(f"/v1/sweeps/{sweep['id']}").json()["points"] == 1
    api.post(f"/v1/sweeps/{other['id']}/cancel")
    dispatch(database, full)
    assert api.get(f"/v1/sweeps/{sweep['id']}").json()["points"] == 2


def test_the_next_point_of_a_search_precedes_jobs_created_since(
    api: httpx.Client, database: Database, settings: Settings
) -> None:
    search = created(api, SEARCH)
    created(api, GRID)
    run_queued(database, search["id"])
    dispatch(database, settings)
    point = api.get(f"/v1/sweeps/{search['id']}").json()["table"][1]
    job = api.get(f"/v1/jobs/{point['job_id']}").json()
    assert (job["queue_position"], job["spec"]["priority"]) == (1, 0)


def test_another_tenant_sees_no_sweep(api: httpx.Client, url: str, database: Database) -> None:
    sweep = created(api, GRID)
    with client(url, key_for(database, Scope.JOBS_READ, Scope.JOBS_WRITE, tenant="other")) as stranger:
        path = f"/v1/sweeps/{sweep['id']}"
        for answer in (stranger.get(path), stranger.post(f"{path}/cancel"), stranger.get(f"{path}/events")):
            assert problem(answer)[0] == 404
        assert stranger.get("/v1/sweeps").json()["items"] == []
    assert problem(api.get(f"/v1/sweeps/{uuid4()}"))[0] == 404


def test_sweeps_are_listed_newest_first_in_pages(api: httpx.Client) -> None:
    made = [created(api, GRID | {"name": f"number {number}"}) for number in range(3)]
    first = api.get("/v1/sweeps", params={"limit": 2}).json()
    rest = api.get("/v1/sweeps", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in first["items"] + rest["items"]] == [each["id"] for each in reversed(made)]
    assert first["items"][0]["jobs"] == {"queued": 12}
    assert api.get("/v1/sweeps", params={"state": "failed"}).json()["items"] == []


def test_a_stream_ends_with_the_sweep(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = run_to_end(api, database, settings, created(api, SEARCH)["id"])
    with api.stream("GET", f"/v1/sweeps/{sweep['id']}/events", headers={"Accept": "text/event-stream"}) as answer:
        text = "".join(answer.iter_text())
    assert text.count("event: point_ended") == sweep["points"]
    assert text.rstrip().endswith('event: end\ndata: {"state": "finished"}')


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (GRID | {"axes": {"/recipe/colour": ["red"]}}, {"/axes/~1recipe~1colour/0": "unknown field"}),
        (GRID | {"axes": {"recipe.preset": ["fast"]}}, {"/axes/recipe.preset": "must be a JSON pointer"}),
        (GRID | {"axes": {"/recipe/preset": []}}, {"/axes/~1recipe~1preset": "at least one"}),
        (GRID | {"axes": {"/recipe/preset": ["fast", "fast"]}}, {"/axes/~1recipe~1preset": "twice"}),
        (
            GRID | {"axes": {"/recipe": [{}], "/recipe/preset": ["fast"]}},
            {"/axes/~1recipe~1preset": "is within the axis /recipe"},
        ),
        (GRID | {"axes": {"/calibration/seed": list(range(201))}}, {"/axes": "201 are 201 points; a sweep has at most 200"}),
        (
            GRID | {"axes": {"/recipe/pattern/sparsity": [0.5, 1.5]}},
            {"/axes/~1recipe~1pattern~1sparsity/1": "give a fraction between 0 and 1"},
        ),
        (GRID | {"axes": {"/evaluation/perplexity/3": ["c4"]}}, {"/axes/~1evaluation~1perplexity~13/0": "names no field"}),
        (
            GRID | {"axes": {"/recipe/allocation": ["uniform", "owl"], "/recipe/pattern": [{"type": "n:m", "n": 2, "m": 4}]}},
            {"/axes/~1recipe~1allocation/1": "fixes the sparsity of every group"},
        ),
        (GRID | {"template": {"calibration": {}}}, {"/template/model": "is required"}),
        (GRID | {"keep": "best"}, {"/keep": "needs a target"}),
        (GRID | {"target": SEARCH["target"], "over": SEARCH["over"]}, {"": "either axes, or target and over"}),
        (SEARCH | {"over": None}, {"/over": "is required with target"}),
        (SEARCH | {"over": {"sparsity": [0.8, 0.3]}}, {"/over/sparsity": "lowest, then the highest"}),
        (SEARCH | {"over": {"sparsity": [0.3, 0.8], "presets": ["fast", "best"]}}, {"/over": "exactly one of"}),
        (SEARCH | {"target": {"metric": "beauty", "at_most": 1}}, {"/target/metric": "must be perplexity"}),
        (SEARCH | {"target": {"metric": "perplexity"}}, {"/target": "exactly one bound"}),
        (
            SEARCH | {"target": {"metric": "kl_divergence", "at_least": 1}},
            {"/target/at_least": "does not apply to kl_divergence"},
        ),
        (SEARCH | {"target": {"metric": "task:arc_easy", "at_least": 0.4}}, {"/target/metric": "do not measure arc_easy"}),
        (SEARCH | {"target": SEARCH["target"] | {"dataset": "c4"}}, {"/target/dataset": "do not measure c4:validation"}),
        (
            SEARCH | {"template": TEMPLATE | {"evaluation": {"perplexity": ["wiki-sample"], "baseline": False}}},
            {"/template/evaluation/baseline": "refers to the dense model"},
        ),
        (SEARCH | {"try_first": "best"}, {"/try_first": "is the template's own preset"}),
        (SEARCH | {"over": {"presets": ["fast", "best"]}, "try_first": "fast"}, {"/try_first": "search over sparsity only"}),
    ],
)
def test_bad_sweeps_are_refused_by_field(api: httpx.Client, body: dict[str, Any], errors: dict[str, str]) -> None:
    found = refused(api, body)
    for pointer, part in errors.items():
        assert part in found[pointer], found


def test_all_combinations_that_a_recipe_refuses_are_named_at_once(api: httpx.Client) -> None:
    axes = {
        "/recipe/update": [{"method": "none"}, {"method": "admm", "mask": "joint"}],
        "/recipe/refinement": [{"method": "swaps"}, {"method": "dsnot"}],
    }
    errors = api.post("/v1/sweeps", json=GRID | {"axes": axes}).json()["errors"]
    assert {error["pointer"] for error in errors} == {"/axes/~1recipe~1update/1/mask"}
    for refinement, error in zip(("swaps", "dsnot"), errors, strict=True):
        assert f"excludes the refinement {refinement}" in error["detail"]
        assert (
            f'(at /recipe/update {{"method": "admm", "mask": "joint"}}, /recipe/refinement {{"method": "{refinement}"}})'
            in error["detail"]
        )


def test_the_front_is_what_a_comparison_of_all_pairs_leaves(api: httpx.Client, database: Database, settings: Settings) -> None:
    sweep = run_to_end(api, database, settings, created(api, GRID)["id"])
    values = [
        (-point["figures"]["sparsity"]["value"], point["figures"][f"perplexity:{DATASET}"]["value"]) for point in sweep["table"]
    ]
    beaten = {i for i, a in enumerate(values) for b in values if b != a and b[0] <= a[0] and b[1] <= a[1]}
    assert {point["position"] for point in sweep["table"] if point["on_front"]} == set(range(12)) - beaten
