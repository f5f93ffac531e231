"""A search whose service, dispatcher and worker are killed at every second point. All three are real processes."""

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import key_for
from tests.support.long_jobs import expire_lease, is_pruning, save_slow_model, weights
from tests.support.processes import answering, dispatching, working
from tests.support.waiting import eventually

BODY: dict[str, Any] = {
    "template": {
        "model": {"source": "local", "id": "slow"},
        "recipe": {"preset": "fast"},
        "calibration": {"dataset": "c4-sample", "num_samples": 32, "sequence_length": 128},
        "evaluation": {"perplexity": ["c4-sample"], "sequence_length": 64, "max_windows": 4, "agreement_windows": 4},
        "max_attempts": 10,
    },
    "target": {"metric": "kl_divergence", "at_most": 0.002},
    "over": {"sparsity": [0.2, 0.9], "step": 0.1},
    "keep": "all",
}


@pytest.fixture
def slow_settings(settings: Settings) -> Settings:
    save_slow_model(settings)
    return settings.model_copy(update={"resend_seconds": 0.5})


def point_at(api: httpx.Client, path: str, position: int) -> UUID | None:
    """The job of a point, once there is one."""
    table = api.get(path).json()["table"]
    return UUID(table[position]["job_id"]) if len(table) > position else None


def has_ended(api: httpx.Client, path: str) -> bool:
    return api.get(path).json()["finished_at"] is not None


def outcome(sweep: dict[str, Any]) -> tuple[Any, ...]:
    return sweep["state"], [point["values"] for point in sweep["table"]], sweep["search"]["answer"], sweep["search"]["end"]


def test_a_search_killed_at_every_second_point_gives_the_same_answer(
    slow_settings: Settings, database: Database, tmp_path: Path
) -> None:
    key = key_for(database, Scope.JOBS_READ, Scope.JOBS_WRITE)
    with answering(slow_settings, tmp_path, key) as (service, api):
        with dispatching(slow_settings, tmp_path), working(slow_settings, tmp_path):
            path = api.post("/v1/sweeps", json=BODY).headers["location"]
            eventually(lambda: has_ended(api, path))
            undisturbed = api.get(path).json()
        path = api.post("/v1/sweeps", json=BODY).headers["location"]
        service.kill()
    assert undisturbed["search"]["end"] == "found"
    assert undisturbed["points"] >= 3
    for position in range(0, undisturbed["points"], 2):
        kill_everything_at(slow_settings, database, tmp_path, key, path, position)
    with (
        answering(slow_settings, tmp_path, key) as (_, api),
        dispatching(slow_settings, tmp_path),
        working(slow_settings, tmp_path),
    ):
        eventually(lambda: has_ended(api, path))
        disturbed = api.get(path).json()
    assert outcome(disturbed) == outcome(undisturbed)
    for one, other in zip(undisturbed["table"], disturbed["table"], strict=True):
        first, second = (weights(slow_settings, database, UUID(point["job_id"])) for point in (one, other))
        assert first == second


def kill_everything_at(settings: Settings, database: Database, folder: Path, key: str, path: str, position: int) -> None:
    """Run everything until the point prunes, then kill dispatcher, service and worker."""
    with (
        answering(settings, folder, key) as (service, api),
        dispatching(settings, folder) as dispatcher,
        working(settings, folder) as worker,
    ):
        eventually(lambda: point_at(api, path, position))
        job_id = point_at(api, path, position)
        assert job_id is not None
        eventually(lambda: is_pruning(database, job_id, 1))
        for process in (dispatcher, service, worker.process):
            process.kill()
    expire_lease(database, job_id)
