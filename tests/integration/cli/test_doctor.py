"""The doctor, on real servers that are well, and on each of its patients."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from sqlalchemy import func, text, update

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.database.tables.outbox import OutboxMessage
from service.database.tables.webhooks import Delivery, Webhook
from service.embedded.processes import free_port
from service.ops.doctor.findings import Check, Finding, Verdict, carry_out, ok
from service.ops.doctor.operations import examine
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.job_rows import insert_job
from tests.support.servers import at
from tests.support.tenant_queues import add

WORKER = Identity("host:1", "host", DeviceClass.CPU, "a processor", None, 1, {"dsnot": "0.1.0"})


@pytest.fixture
def well(settings: Settings, database: Database) -> Settings:
    """A deployment with a worker that has just given a sign of life."""
    with database.begin() as session:
        workers.started(session, WORKER, Usage(1, 1))
    return settings


@pytest.fixture
def evicting(broker: "redis.Redis") -> Iterator[None]:
    broker.config_set("maxmemory-policy", "allkeys-lru")
    yield
    broker.config_set("maxmemory-policy", "noeviction")


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


def failures(settings: Settings) -> dict[str, str]:
    return {name: found.remedy for name, found in findings(settings).items() if found.verdict == Verdict.FAIL}


def test_a_healthy_deployment_passes_every_check(well: Settings) -> None:
    found = findings(well)
    assert {name for name, finding in found.items() if finding.verdict == Verdict.FAIL} == set()
    assert found["broker"].verdict == Verdict.WARN, "the tests' broker is not append-only"
    assert found["database"].found.startswith("PostgreSQL 18")
    assert list(Path(well.artifact_url.removeprefix("file://")).rglob("*")) in ([], [Path(well.artifact_url[7:]) / "doctor"])


def test_unreachable_servers_are_reported_separately(well: Settings) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    assert set(failures(at(well, broker_url=f"redis://{nowhere}/0"))) == {"broker"}
    away = failures(at(well, database_url=f"postgresql://u:p4ssw0rd@{nowhere}/d"))
    assert {"database", "schema", "workers", "queue"} <= set(away)
    assert "DSNOT_DATABASE_URL" in away["database"]


def test_a_broker_that_may_evict_messages_is_a_failure(well: Settings, evicting: None) -> None:
    assert "noeviction" in failures(well)["broker"]


def test_a_schema_with_pending_migrations_is_a_failure(well: Settings, database: Database) -> None:
    with database.begin() as session:
        current = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        assert "dsnot migrate" in failures(well)["schema"]
    finally:
        with database.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :current"), {"current": current})


def test_a_missing_worker_or_dispatcher_is_a_failure(settings: Settings, database: Database) -> None:
    insert_job(database)
    with database.begin() as session:
        session.execute(update(OutboxMessage).values(due_at=func.now() - timedelta(minutes=5)))
    assert set(failures(settings)) == {"dispatcher", "workers", "queue"}


def test_a_job_that_no_worker_may_claim_is_a_failure(well: Settings, database: Database) -> None:
    insert_job(database, device="cpu")
    assert failures(well) == {}
    insert_job(database, device="gpu")
    assert "start a worker for gpu" in failures(well)["queue"]


def test_jobs_too_large_for_every_worker_are_a_warning(well: Settings, database: Database) -> None:
    add(database, "acme", 1, device="cpu", least_cpu_bytes=2**60)
    found = findings(well)["queue"]
    assert found.verdict == Verdict.WARN
    assert "no worker has the memory for those for cpu" in found.found
    assert "start a larger worker" in found.remedy


def test_a_silent_worker_is_not_alive(well: Settings, database: Database) -> None:
    with database.begin() as session:
        session.execute(text("UPDATE workers SET seen_at = seen_at - interval '1 hour'"))
    assert set(failures(well)) == {"workers"}


def test_gpus_are_described_and_unused_ones_are_a_warning(settings: Settings, database: Database) -> None:
    facts = {"dsnot": version("dsnot"), "cuda": "13.0", "driver": "580.65.06", "compute_capability": "9.0"}
    with database.begin() as session:
        workers.started(session, replace(WORKER, device_name="H100", device_memory_bytes=2**36, versions=facts), Usage(1, 1))
    found = findings(settings)["workers"]
    assert found.found == "host:1 on H100 (64.0 GiB, compute capability 9.0, CUDA 13.0, driver 580.65.06)"
    with database.begin() as session:
        facts = {"dsnot": version("dsnot"), "device_problem": "the NVIDIA driver is too old"}
        workers.started(session, replace(WORKER, versions=facts), Usage(1, 1))
    found = findings(settings)["workers"]
    assert found.verdict == Verdict.WARN
    assert "the NVIDIA driver is too old" in found.found
    assert "DSNOT_DEVICE" in found.remedy


def test_a_store_that_is_not_writable_is_a_failure(well: Settings) -> None:
    assert "DSNOT_ARTIFACT_URL" in failures(at(well, artifact_url="file:///proc/nowhere"))["artifact store"]


def test_a_check_that_hangs_or_raises_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr("service.ops.doctor.findings._SECONDS", 0.5)
    never = threading.Event()

    def hangs() -> Finding:
        never.wait()
        raise AssertionError

    def breaks() -> Finding:
        raise RuntimeError("postgresql://u:p4ssw0rd@host is broken")

    found = carry_out([Check("a", hangs, "wake it"), Check("b", breaks, "mend it"), Check("c", lambda: ok("c", "fine"), "")])
    never.set()
    assert [(finding.verdict, finding.remedy) for finding in found] == [
        (Verdict.FAIL, "wake it"),
        (Verdict.FAIL, "mend it"),
        (Verdict.OK, ""),
    ]
    assert "p4ssw0rd" not in found[1].found


def test_the_command_sets_its_exit_status(well: Settings, tmp_path: Path) -> None:
    command = ["service.cli", "doctor", "--json"]
    well = well.model_copy(update={"lease_seconds": 60.0})  # a busy machine takes seconds to start the command
    done = fork_server.run(command, environment(well))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 12
    broken = environment(well) | {"DSNOT_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    assert fork_server.run(command, broken).returncode == 1
    missing = {name: value for name, value in environment(well).items() if name != "DSNOT_MODEL_ROOT"}
    said = fork_server.run(command, missing)
    assert (said.returncode, said.stderr) == (1, "dsnot: DSNOT_MODEL_ROOT: is not set\n")


def test_the_command_finds_and_removes_objects_without_rows(well: Settings) -> None:
    well = well.model_copy(update={"lease_seconds": 60.0})
    unknown = Path(well.artifact_url[7:]) / "jobs" / str(uuid4()) / "1" / "file"
    unknown.parent.mkdir(parents=True)
    unknown.write_bytes(b"later")

    def run(*options: str) -> tuple[int, str, str]:
        done = fork_server.run(["service.cli", "doctor", *options], environment(well))
        objects = [each for each in map(json.loads, done.stdout.splitlines()) if each["check"] == "objects"]
        return done.returncode, objects[0]["found"] if objects else "", done.stderr

    code, found, _ = run("--deep", "--json")
    assert (code, found) == (1, f"1 objects that no row names, 5 B: jobs/{unknown.parent.parent.name}")
    code, _, told = run("--deep", "--json", "--remove-orphans", "--dry-run")
    assert (code, unknown.exists()) == (1, True)
    assert "1 objects would be removed" in told
    assert run("--deep", "--json", "--remove-orphans")[:2] == (0, "rows name all objects")
    assert not unknown.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--remove-orphans"], "--hashes, --remove-orphans and --mark-missing need --deep"),
        (["--hashes", "all"], "--hashes, --remove-orphans and --mark-missing need --deep"),
        (["--deep", "--dry-run"], "--dry-run needs --remove-orphans or --mark-missing"),
    ],
)
def test_options_of_the_comparison_need_it(well: Settings, options: list[str], sentence: str) -> None:
    done = fork_server.run(["service.cli", "doctor", *options], environment(well))
    assert (done.returncode, done.stderr) == (2, f"dsnot: {sentence}\n")


def test_unsent_webhook_messages_point_to_the_dispatcher(well: Settings, database: Database) -> None:
    with database.begin() as session:
        webhook = Webhook(tenant="t", url="https://sink.example/", description="", events=[])
        session.add(webhook)
        session.flush()
        session.add(Delivery(webhook_id=webhook.id, type="webhook.test"))
    assert findings(well)["webhooks"].verdict == Verdict.OK
    with database.begin() as session:
        session.execute(update(Delivery).values(next_attempt_at=func.now() - timedelta(seconds=90)))
    assert failures(well) == {"webhooks": "start a dispatcher, with the same DSNOT_SECRET_KEY as the service"}
    assert findings(well)["webhooks"].found.startswith("1 messages overdue, the oldest by 9")
