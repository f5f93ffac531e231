"""Sweeps through both clients against the real HTTP service; jobs end without a worker."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from service.client import AsyncClient, Client, Conflict, InvalidInput, NotFound
from service.contract.recipe.pattern import NofM, Unstructured
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.contract.sweeps import Over, SweepSpec, SweepState
from service.contract.targets import Target
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import key_for
from tests.support.sweep_points import DATASET, GRID, SEARCH, TEMPLATE, dispatch, end_job, run_queued, running_sweeps

PERPLEXITY = f"perplexity:{DATASET}"


@pytest.fixture
def client(url: str, database: Database) -> Iterator[Client]:
    with Client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def test_points_are_flat_rows_for_a_data_frame(client: Client, database: Database, settings: Settings) -> None:
    patterns = [{"type": "n:m", "n": 2, "m": 4}, {"type": "unstructured", "sparsity": 0.4}]
    made = client.sweeps.create(GRID | {"axes": {"/recipe/preset": ["fast"], "/recipe/pattern": patterns}})
    assert (made.state, made.has_ended, made.point_count) == (SweepState.RUNNING, False, 2)
    with running_sweeps(database, settings):
        ended = client.sweeps.wait(made.id, timeout=60)
    assert (ended.state, ended.has_ended) == (SweepState.FINISHED, True)
    first, second = ended.points()
    assert (first["position"], first["state"], first["pattern"], first["preset"]) == (0, "succeeded", "2:4", "fast")
    assert (first["/recipe/preset"], second["/recipe/pattern"]) == ("fast", '{"type": "unstructured", "sparsity": 0.4}')
    assert second[PERPLEXITY] == ended.table[1].figures[PERPLEXITY].value
    assert first[f"kl_divergence:{DATASET}:low"] < first[f"kl_divergence:{DATASET}"] < first[f"kl_divergence:{DATASET}:high"]
    assert f"{PERPLEXITY}:low" not in first  # no interval was measured
    assert all(not isinstance(cell, dict | list) for row in ended.points() for cell in row.values())
    assert [row["on_front"] for row in ended.points()] == [point.on_front for point in ended.table]
    rows = list(csv.DictReader(io.StringIO(client.sweeps.csv(made.id, front=["seconds", "sparsity"]))))
    assert [row["job_id"] for row in rows] == [row["job_id"] for row in ended.points()]
    assert [json.loads(row["/recipe/pattern"]) for row in rows] == patterns
    assert client.sweeps.get(made.id, front=["seconds", "sparsity"]).front == ["seconds", "sparsity"]
    assert ended.model_dump(mode="json", exclude_unset=True)["points"] == 2


def test_a_sweep_is_planned_listed_changed_and_deleted(client: Client, database: Database, settings: Settings) -> None:
    assert client.sweeps.plan(GRID).point_count == 12
    assert list(client.sweeps.list()) == []
    made = [client.sweeps.create(GRID, idempotency_key="nightly").id for _ in range(2)]
    assert made[0] == made[1]
    sweep_id = made[0]
    assert client.sweeps.pause(sweep_id).state == SweepState.PAUSED
    assert client.sweeps.resume(sweep_id).jobs == {JobState.QUEUED: 12}
    with pytest.raises(TimeoutError, match=r"still running"):
        client.sweeps.wait(sweep_id, timeout=0)
    with pytest.raises(Conflict):
        client.sweeps.delete(sweep_id)
    run_queued(database, sweep_id, most=11)
    error = {"code": "internal", "detail": "the disk is full", "retryable": True}
    end_job(database, UUID(client.sweeps.get(sweep_id).table[11].job_id), state=JobState.FAILED, error=error)
    dispatch(database, settings)
    failed = client.sweeps.wait(sweep_id)
    assert (failed.state, failed.table[11].error and failed.table[11].error.detail) == (SweepState.FAILED, "the disk is full")
    assert [each.id for each in client.sweeps.list(state="failed")] == [sweep_id]
    assert client.sweeps.retry(sweep_id).state == SweepState.RUNNING
    job_id = client.sweeps.cancel(sweep_id).table[0].job_id
    dispatch(database, settings)
    assert client.sweeps.wait(sweep_id).state == SweepState.CANCELLED
    client.sweeps.delete(sweep_id, keep_jobs=True)
    with pytest.raises(NotFound):
        client.sweeps.get(sweep_id)
    assert client.jobs.get(job_id).has_ended


def test_a_spec_of_the_contract_is_sent_completely(client: Client) -> None:
    over = Over(patterns=[Unstructured(sparsity=0.4), NofM(type="n:m", n=2, m=4)])
    spec = SweepSpec(template=TEMPLATE, target=Target(at_most_increase=0.3), over=over)
    found = client.sweeps.plan(spec).spec
    assert found["over"]["patterns"] == [{"type": "unstructured", "sparsity": 0.4}, {"type": "n:m", "n": 2, "m": 4}]
    with pytest.raises(InvalidInput, match="/target/dataset"):
        client.sweeps.create(spec.model_copy(update={"target": Target(at_most=3, dataset="c4")}))


def test_events_of_a_search_are_streamed_while_it_runs(url: str, database: Database, settings: Settings) -> None:
    async def scene() -> tuple[list[str], list[str], str]:
        async with AsyncClient(url, key_for(database, Scope.ADMIN)) as client:
            made = await client.sweeps.create(SEARCH)
            with running_sweeps(database, settings):
                streamed = [event.type async for event in client.sweeps.events(made.id)]
            listed = [event.type async for event in client.sweeps.list_events(made.id)]
            ended = await client.sweeps.wait(made.id)
            return streamed, listed, ended.search.text if ended.search else ""

    streamed, listed, text = asyncio.run(scene())
    assert streamed == listed
    assert (streamed[0], streamed[-1]) == ("created", "finished")
    assert text.startswith("50 % is the sparsest")
