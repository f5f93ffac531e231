"""Plans: what a job would be, without making it; and where a job waits."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service.contract.devices import DeviceClass
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.jobs.attempts.repository import claim_next
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.api_server import BODY, problem
from tests.support.tiny_model import save_model

TINY: dict[str, Any] = {
    "model": {"source": "local", "id": "tiny"},
    "calibration": {"dataset": "c4-sample", "num_samples": 2, "sequence_length": 16},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 16},
}


@pytest.fixture
def model(settings: Settings) -> Path:
    return save_model(settings.model_root / "tiny")


def planned(api: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return api.post("/v1/jobs", params={"validate_only": "true"}, json=body)


def introduce(
    database: Database, *, host_bytes: int = 2**34, disk_bytes: int = 2**40, device: DeviceClass = DeviceClass.CPU
) -> None:
    identity = Identity(f"host:{host_bytes}", "host", device, "a processor", None, host_bytes, {})
    with database.begin() as session:
        workers.started(session, identity, Usage(1, disk_bytes))


def jobs_in(database: Database) -> int:
    with database.begin() as session:
        return session.execute(select(func.count()).select_from(Job)).scalar_one()


def test_a_new_job_carries_the_warnings_that_need_no_worker(api: httpx.Client, model: Path) -> None:
    body = TINY | {"recipe": {"preset": "best"}, "evaluation": TINY["evaluation"] | {"perplexity": ["c4"]}}
    expected = [each for each in planned(api, body).json()["warnings"] if "Calibration has" in each or "same corpus" in each]
    assert len(expected) == 2
    headers = {"Idempotency-Key": "warned"}
    made = api.post("/v1/jobs", json=body, headers=headers).json()
    assert made["warnings"] == expected
    assert api.post("/v1/jobs", json=body, headers=headers).json()["warnings"] == expected
    assert api.post("/v1/jobs", json=body, headers=headers | {"Prefer": "wait=1"}).json()["warnings"] == expected


def test_a_new_job_names_its_data_sets_that_need_the_unreachable_hub(api: httpx.Client) -> None:
    body = BODY | {"model": {"id": "org/model"}, "evaluation": {"perplexity": ["wikitext2", "c4-sample"], "sequence_length": 64}}
    body["calibration"] = {"dataset": "wiki-sample", "num_samples": 4, "sequence_length": 64}
    pinned, related, data = api.post("/v1/jobs", json=body).json()["warnings"]
    assert "The hub gave no answer" in pinned
    assert "the same corpus" in related
    assert data == "The worker reads wikitext2:test from the hub, which gave no answer; c4-sample and wiki-sample need no hub."


def test_a_plan_describes_the_job_and_stores_nothing(api: httpx.Client, database: Database, model: Path) -> None:
    introduce(database)
    answer = planned(api, TINY)
    assert answer.status_code == 200
    plan = answer.json()
    assert jobs_in(database) == 0
    weights = (model / "model.safetensors").stat().st_size
    assert plan["artifact_bytes"] == weights
    assert weights < plan["disk_bytes"] < 2 * weights
    assert (plan["model"]["blocks"], plan["model"]["architecture"]) == (2, "LlamaForCausalLM")
    assert plan["queue"] == {"position": 1, "queued_jobs": 0, "max_queued_jobs": 1000, "able_workers": 1, "idle_workers": 1}
    assert plan["calibration_tokens"] == 32
    made = api.post("/v1/jobs", json=TINY).json()
    assert made["spec"] == plan["spec"]


def warnings_of(plan: httpx.Response) -> list[str]:
    """The warnings without the one that no worker has checked the model."""
    return [warning for warning in plan.json()["warnings"] if "the model was not built" not in warning]


def test_a_plan_warns_of_likely_problems(api: httpx.Client, database: Database, model: Path) -> None:
    assert "No worker is online, so the model was not built" in " ".join(planned(api, TINY).json()["warnings"])
    [calibration, worker] = warnings_of(planned(api, TINY))
    assert "4 calibration samples instead of 2" in calibration
    assert worker.startswith("No worker is online")
    introduce(database, disk_bytes=10)
    _, disk, history = warnings_of(planned(api, TINY))
    assert "of a worker's disk" in disk
    assert "no estimate of the run time" in history
    on_gpu = planned(api, TINY | {"device": "gpu"})
    assert on_gpu.json()["queue"]["able_workers"] == 0
    assert warnings_of(on_gpu)[1].startswith("No worker with a GPU is online")
    enough = TINY | {"calibration": {"dataset": "c4-sample", "num_samples": 4, "sequence_length": 16}}
    assert warnings_of(planned(api, enough)) == [disk, history]
    related = TINY | {"evaluation": {"perplexity": ["c4:validation"], "sequence_length": 16}}
    assert "the same corpus" in warnings_of(planned(api, related))[1]
    tasks = TINY | {"evaluation": {"perplexity": [], "tasks": ["boolq"], "sequence_length": 16}}
    assert "The time of zero-shot tasks is not in the estimate" in warnings_of(planned(api, tasks))[1]


def test_a_plan_is_refused_like_the_creation(api: httpx.Client, database: Database, model: Path) -> None:
    for wrong in (
        TINY | {"model": {"source": "local", "id": "nowhere"}},
        TINY | {"calibration": {"dataset": "ds-0123456789abcdef"}},
    ):
        refused = [planned(api, wrong), api.post("/v1/jobs", json=wrong)]
        assert problem(refused[0]) == problem(refused[1])
        assert refused[0].status_code == 422
    least = planned(api, TINY | {"device": "cpu"}).json()["memory"][0]["least_host_bytes"]
    introduce(database, host_bytes=1000)
    refusal = planned(api, TINY)
    assert problem(refusal) == (422, "model-does-not-fit", ["/model/id"])
    detail = refusal.json()["detail"]
    assert f"even with the smallest batch it needs {least / 2**30:.1f} GiB of the host's (" in detail
    assert "libraries" in detail
    assert "the largest has 0.0 GiB on its host" in detail


def test_unknown_properties_of_a_model_are_null_and_noted(api: httpx.Client) -> None:
    plan = planned(api, BODY).json()
    assert (plan["model"], plan["artifact_bytes"], plan["disk_bytes"], plan["memory"]) == (None, None, None, [])
    assert plan["estimate"]["run_seconds"] is None
    assert "not pinned" in plan["warnings"][0]


@pytest.mark.parametrize("device", [DeviceClass.CPU, DeviceClass.GPU])
def test_jobs_are_claimed_in_queue_order(api: httpx.Client, database: Database, device: DeviceClass) -> None:
    wishes = [(0, "any"), (9, "any"), (4, device), (9, device), (0, device), (4, "any")]
    made = [api.post("/v1/jobs", json=BODY | {"priority": priority, "device": str(wish)}).json() for priority, wish in wishes]
    shown = {job["id"]: api.get(f"/v1/jobs/{job['id']}").json()["queue_position"] for job in made}
    with database.begin() as session:
        claimed = [claim(session, device) for _ in made]
    assert [shown[job_id] for job_id in claimed] == [1, 2, 3, 4, 5, 6]
    assert api.get(f"/v1/jobs/{claimed[0]}").json()["queue_position"] is None


def claim(session: Session, device: DeviceClass) -> str:
    found = claim_next(session, worker="w", device=device, lease_seconds=60)
    assert found is not None
    return str(found.job_id)


def test_memory_is_reported_for_the_devices_that_may_claim(api: httpx.Client, database: Database, model: Path) -> None:
    assert [each["device"] for each in planned(api, TINY).json()["memory"]] == ["cpu", "gpu"]
    introduce(database)
    [on_cpu] = planned(api, TINY).json()["memory"]
    assert on_cpu["device_bytes"] is None
    assert on_cpu["host_bytes"] == sum(on_cpu["terms"].values()) > on_cpu["least_host_bytes"] - 1
    [on_gpu] = planned(api, TINY | {"device": "gpu"}).json()["memory"]
    assert on_gpu["device_bytes"] == sum(on_gpu["terms"].values())


def test_a_plan_lists_the_devices_once(api: httpx.Client, database: Database, model: Path) -> None:
    facts = {"torch": "2.13.0", "cuda": "13.0", "driver": "580.65.06", "compute_capability": "9.0"}
    with database.begin() as session:
        for number in range(2):
            identity = Identity(f"host:{number}", "host", DeviceClass.GPU, "H100", 2**36, 2**34, facts)
            workers.started(session, identity, Usage(1, 2**40))
    [device] = planned(api, TINY).json()["devices"]
    assert device == {
        "name": "H100",
        "memory_bytes": 2**36,
        "compute_capability": "9.0",
        "versions": {"cuda": "13.0", "driver": "580.65.06"},
    }


def test_a_job_that_exceeds_the_memory_is_planned_as_slow(api: httpx.Client, database: Database, model: Path) -> None:
    large = TINY | {"calibration": {"dataset": "c4-sample", "num_samples": 65_536, "sequence_length": 128}}
    [need] = planned(api, large | {"device": "cpu"}).json()["memory"]
    introduce(database, host_bytes=(need["host_bytes"] + need["least_host_bytes"]) // 2)
    plan = planned(api, large).json()
    assert any("activations on disk" in warning for warning in plan["warnings"])
    introduce(database, host_bytes=2 * need["host_bytes"])
    assert plan["disk_bytes"] > planned(api, large).json()["disk_bytes"]


def test_the_plan_includes_the_quota(api: httpx.Client, database: Database, settings: Settings, model: Path) -> None:
    quota = planned(api, TINY).json()["queue"]
    assert (quota["queued_jobs"], quota["max_queued_jobs"]) == (0, settings.max_queued_jobs)
