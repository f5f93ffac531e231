"""One attempt from claim to finish, in this process, and the whole way through dispatcher, broker and worker."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import select, update

from service.client.measured import Metrics
from service.contract.artifacts import Manifest
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job, Layer
from service.jobs.attempts import transitions as transitions
from service.settings import Settings
from tests.support.api_server import client, key_for, serving
from tests.support.job_rows import SPEC, attempts_of, break_connections, event_types, events_of, insert_job, job_row
from tests.support.processes import dispatching, working
from tests.support.threads import attempt_thread
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from worker.attempt import runner
from worker.attempt.runner import work
from worker.run.finished_blocks import Blocks

EVALUATION = {"perplexity": ["wiki-sample"], "sequence_length": 16, "max_windows": 2}
LONG = {"dataset": "c4-sample:test", "num_samples": 64, "sequence_length": 128}


@pytest.fixture
def model(settings: Settings) -> Path:
    return save_model(settings.model_root / "tiny")


def run_once(settings: Settings) -> None:
    assert work(settings, threading.Event())


@contextmanager
def pruning_meanwhile(settings: Settings, database: Database, stop: threading.Event) -> Iterator[UUID]:
    """A long job in another thread, caught in the middle of pruning; it has ended when the context is left."""
    save_model(settings.model_root / "slow", layers=24, width=64)
    job_id = insert_job(database, model={"source": "local", "id": "slow"}, calibration=LONG)
    with attempt_thread(settings, stop):
        eventually(lambda: (job_row(database, job_id).progress or {}).get("done"))
        assert job_row(database, job_id).stage == "pruning"
        yield job_id


def left_behind(settings: Settings) -> list[Path]:
    """Files of attempts, in the store and in scratch."""
    return [path for root in (Path(settings.artifact_url.removeprefix("file://")), settings.cache_dir) for path in files(root)]


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def artifact(settings: Settings, database: Database, job_id: UUID) -> Path:
    prefix = job_row(database, job_id).artifact_prefix
    assert prefix is not None
    return Path(settings.artifact_url.removeprefix("file://")) / prefix


def test_a_spawned_child_runs_a_job(settings: Settings, database: Database, model: Path, tmp_path: Path) -> None:
    job_id = insert_job(database)
    with dispatching(settings, tmp_path), working(settings, tmp_path, module="tests.support.spawning_worker") as worker:
        assert "spawn_main" in " ".join(worker.child().cmdline())
        eventually(lambda: job_row(database, job_id).state == JobState.SUCCEEDED)


def test_a_message_without_a_job_does_nothing(settings: Settings) -> None:
    assert not work(settings, threading.Event())


def test_five_messages_for_one_job_start_one_attempt(settings: Settings, database: Database, model: Path) -> None:
    job_id = insert_job(database)
    with ThreadPoolExecutor(5) as pool:
        found_work = list(pool.map(lambda _: work(settings, threading.Event()), range(5)))
    assert sorted(found_work) == [False] * 4 + [True]
    assert len(attempts_of(database, job_id)) == 1
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def test_a_job_succeeds_with_artifact_metrics_and_layers(settings: Settings, database: Database, model: Path) -> None:
    job_id = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    assert job.metrics["sparsity"] == pytest.approx(0.5)
    assert [metric["dataset"] for metric in job.metrics["dense"]["perplexity"]] == ["wiki-sample:test"]
    assert [metric["windows"] for metric in job.metrics["pruned"]["perplexity"]] == [2]
    assert set(job.metrics["seconds"]) == {"resolving", "loading", "pruning", "evaluating", "publishing"}
    assert 0 < job.metrics["peak_memory_bytes"]["host"] < job.metrics["peak_memory_bytes"]["host_total"]
    with database.begin() as session:
        layers = session.scalars(select(Layer).order_by(Layer.position)).all()
    assert [layer.position for layer in layers] == list(range(14))
    assert [layer.block for layer in layers] == [0] * 7 + [1] * 7
    folder = artifact(settings, database, job_id)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert {file.path for file in manifest.files} == {path.name for path in files(folder)} - {"manifest.json"}
    assert sum(file.bytes for file in manifest.files) == job.metrics["bytes"]
    assert {path.parent.name for path in files(settings.cache_dir)} == {"baselines"}


def test_a_job_reports_the_speed_of_its_models_on_request(settings: Settings, database: Database, model: Path) -> None:
    recipe = {"pattern": {"type": "n:m", "n": 2, "m": 4}}
    job_id = insert_job(database, evaluation=EVALUATION | {"speed": True, "perplexity": []}, recipe=recipe)
    run_once(settings)
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    found = Metrics.model_validate(job.metrics).speed
    assert found is not None
    assert found.dense is not None
    assert found.pruned is not None
    assert found.dense.weight_bytes == found.pruned.weight_bytes, "zeros make nothing smaller"
    assert found.sparse is None
    assert "NVIDIA" in str(found.why_not)
    assert "tokens/s" in (artifact(settings, database, job_id) / "README.md").read_text()


def test_a_job_prunes_the_artifact_of_an_earlier_one(settings: Settings, database: Database, model: Path) -> None:
    first = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    fence = str(job_row(database, first).artifact_prefix).rpartition("/")[2]
    source = {"source": "job", "id": str(first), "revision": fence}
    recipe = {"criterion": "magnitude", "pattern": {"type": "unstructured", "sparsity": 0.75}, "refinement": {"method": "none"}}
    second = insert_job(database, model=source, recipe=recipe, evaluation=EVALUATION)
    run_once(settings)
    job, before = job_row(database, second), job_row(database, first)
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    assert before.metrics is not None
    assert job.metrics["sparsity"] == pytest.approx(0.75)
    assert [each | {"loss_difference": None} for each in before.metrics["pruned"]["perplexity"]] == job.metrics["dense"][
        "perplexity"
    ]
    card = (artifact(settings, database, second) / "README.md").read_text()
    assert str(first) in card.replace("\\", "")


def test_the_events_describe_the_run_in_order(settings: Settings, database: Database, model: Path) -> None:
    job_id = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    told = [
        f"{event.type} {event.data.get('stage') or event.data.get('model') or ''}".strip()
        for event in events_of(database, job_id)
    ]
    assert told == [
        *("created", "attempt_started", "stage_started resolving", "stage_started loading", "stage_started pruning"),
        *("block_pruned", "block_pruned", "stage_started evaluating", "evaluated dense", "evaluated pruned"),
        *("stage_started publishing", "attempt_ended", "succeeded"),
    ]


def test_each_block_reports_its_memory(settings: Settings, database: Database, model: Path) -> None:
    job_id = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    metrics = job_row(database, job_id).metrics
    assert metrics is not None
    told = [event.data["peak_memory_bytes"] for event in events_of(database, job_id) if event.type == "block_pruned"]
    assert len(told) == 2
    for each in told:
        assert 50_000_000 < each["host_total"] <= metrics["peak_memory_bytes"]["host_total"]  # PyTorch alone takes more than that
        assert (each["device"] is None) == (metrics["peak_memory_bytes"]["device"] is None)


@pytest.mark.parametrize("fields", [{}, {"model": {"source": "local", "id": "absent"}}], ids=["succeeded", "failed"])
def test_a_worker_finishes_cleaning_up_after_the_end(
    settings: Settings, database: Database, model: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    """Its lease, which finds the attempt ended, must not end the process meanwhile."""
    exits: list[int] = []
    remove = Blocks.remove

    def remove_slowly(blocks: Blocks) -> None:
        time.sleep(1)
        remove(blocks)

    monkeypatch.setattr("worker.run.lease.os._exit", exits.append)
    monkeypatch.setattr("worker.run.lease.REACTION_SECONDS", 0.1)
    monkeypatch.setattr(Blocks, "remove", remove_slowly)
    job_id = insert_job(database, **fields)
    run_once(settings.model_copy(update={"heartbeat_seconds": 0.1}))
    assert job_row(database, job_id).state == (JobState.FAILED if fields else JobState.SUCCEEDED)
    assert exits == []


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("model-not-found", {"model": {"source": "local", "id": "absent"}}),
        (
            "not-enough-calibration-data",
            {"calibration": {"dataset": "c4-sample", "num_samples": 60_000, "sequence_length": 512}},
        ),
        ("invalid-request", {"calibration": {"dataset": "c4-sample:test", "num_samples": 1, "sequence_length": 513}}),
        ("invalid-request", {"evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 513}}),
        ("invalid-request", {"recipe": {"pattern": {"type": "n:m", "n": 3, "m": 5}}}),
    ],
)
def test_an_incompatible_job_fails_at_once_and_leaves_nothing(
    settings: Settings, database: Database, model: Path, code: str, fields: dict[str, Any]
) -> None:
    job_id = insert_job(database, **fields)
    run_once(settings)
    job = job_row(database, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == code, job.error
    assert "block_pruned" not in event_types(database, job_id)
    assert left_behind(settings) == []


def test_a_tokenizer_that_panics_fails_the_job_at_once(settings: Settings, database: Database, model: Path) -> None:
    path = model / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pre_tokenizer": {"type": "FixedLength", "length": 0}}))
    job_id = insert_job(database)
    run_once(settings)
    job = job_row(database, job_id)
    assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "model-unsafe")


def test_an_exception_of_any_kind_ends_the_attempt(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """Like those of Rust libraries, no Exception."""

    def panic(_: object) -> None:
        raise Panic

    monkeypatch.setattr(runner, "prune_and_publish", panic)
    job_id = insert_job(database)
    run_once(settings)
    (attempt,) = attempts_of(database, job_id)
    assert (job_row(database, job_id).state, attempt.outcome) == (JobState.QUEUED, "failed")


def test_a_model_without_a_head_is_pruned_unless_it_is_evaluated(settings: Settings, database: Database, model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    (model / "1_Pooling").mkdir()
    for name in ("1_Pooling/config.json", "modeling.py"):
        (model / name).write_text("{}")
    measured = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    job = job_row(database, measured)
    assert job.error is not None
    assert job.error["code"] == "invalid-request"
    assert "no language-model head" in job.error["detail"]
    assert "block_pruned" not in event_types(database, measured)

    pruned = insert_job(database, evaluation={"perplexity": []})
    run_once(settings)
    job = job_row(database, pruned)
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    assert any("modeling.py (code)" in warning for warning in job.metrics["warnings"])
    assert (artifact(settings, database, pruned) / "1_Pooling" / "config.json").is_file()


def test_a_head_with_nan_is_refused_before_pruning(settings: Settings, database: Database, model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["lm_head.weight"][200] = torch.nan
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    job_id = insert_job(database, evaluation=EVALUATION)
    run_once(settings)
    job = job_row(database, job_id)
    assert job.error is not None
    assert job.error["code"] == "numerical-failure"
    assert "row 200" in job.error["detail"]
    assert "block_pruned" not in event_types(database, job_id)


def test_a_store_that_refuses_is_retried_later(settings: Settings, database: Database, model: Path) -> None:
    job_id = insert_job(database)
    run_once(settings.model_copy(update={"artifact_url": "file:///proc/no-such-place"}))
    job, (attempt,) = job_row(database, job_id), attempts_of(database, job_id)
    assert (job.state, attempt.outcome) == (JobState.QUEUED, "failed")
    assert attempt.detail is not None
    assert "artifact-upload-failed" in attempt.detail
    eventually(lambda: work(settings, threading.Event()))
    assert job_row(database, job_id).state == JobState.SUCCEEDED


def test_a_cancelled_job_stops_and_leaves_nothing(settings: Settings, database: Database) -> None:
    with pruning_meanwhile(settings, database, threading.Event()) as job_id:
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
        eventually(lambda: job_row(database, job_id).finished_at)
    assert job_row(database, job_id).state == JobState.CANCELLED
    assert event_types(database, job_id)[-2:] == ["attempt_ended", "cancelled"]
    assert left_behind(settings) == []


def test_a_worker_that_stops_releases_its_job(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    with pruning_meanwhile(settings, database, stop) as job_id:
        stop.set()
        eventually(lambda: job_row(database, job_id).state == JobState.QUEUED)
    assert job_row(database, job_id).attempts_counted == 0
    assert [path for path in left_behind(settings) if "blocks" not in path.parts] == []


def test_the_stage_times_of_a_resumed_job_are_those_of_all_its_attempts(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    with pruning_meanwhile(settings, database, stop) as job_id:
        stop.set()
        eventually(lambda: job_row(database, job_id).state == JobState.QUEUED)
    run_once(settings)
    first, _ = attempts_of(database, job_id)
    assert first.ended_at is not None
    stages = [event for event in events_of(database, job_id) if event.data.get("stage") == "pruning"]
    job = job_row(database, job_id)
    assert job.metrics is not None
    seconds = job.metrics["seconds"]
    assert seconds["pruning"] > (first.ended_at - stages[0].created_at).total_seconds()
    assert job.active_seconds is not None
    assert sum(seconds.values()) <= job.active_seconds


def test_a_worker_that_lost_its_claim_stops_and_writes_nothing(settings: Settings, database: Database) -> None:
    with pruning_meanwhile(settings, database, threading.Event()) as job_id:
        with database.begin() as session:
            transitions.expire_lease(session, job_id, job_row(database, job_id).fence)
        before = events_of(database, job_id)[-1].seq
    assert job_row(database, job_id).state == JobState.QUEUED
    assert events_of(database, job_id)[-1].seq == before
    assert [path for path in left_behind(settings) if "blocks" not in path.parts] == []


def test_a_run_survives_broken_connections(settings: Settings, database: Database) -> None:
    with pruning_meanwhile(settings, database, threading.Event()) as job_id:
        for _ in range(3):
            done = (job_row(database, job_id).progress or {})["done"]
            break_connections(database)
            eventually(lambda: has_moved_on(job_row(database, job_id), done))  # noqa: B023
        eventually(lambda: job_row(database, job_id).finished_at)
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    assert len(attempts_of(database, job_id)) == 1


def has_moved_on(job: Job, done: int) -> bool:
    return job.stage != "pruning" or (job.progress or {}).get("done", 0) > done


@pytest.fixture
def twice(settings: Settings, database: Database, model: Path, tmp_path: Path) -> tuple[list[UUID], str]:
    """The same job twice through dispatcher, broker and worker, and the worker's log."""
    body = SPEC | {"recipe": {"refinement": {"method": "dsnot"}}, "evaluation": EVALUATION}
    settings = settings.model_copy(update={"resend_seconds": 30.0})
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        asked = [api.post("/v1/jobs", json=body, headers={"X-Request-ID": "mine-1"}) for _ in range(2)]
    jobs = [UUID(answer.json()["id"]) for answer in asked]
    with dispatching(settings, tmp_path), working(settings, tmp_path) as worker:
        for job_id in jobs:
            eventually(lambda: job_row(database, job_id).finished_at)  # noqa: B023
            assert job_row(database, job_id).state == JobState.SUCCEEDED
    return jobs, worker.log.read_text()


def test_a_job_through_all_processes_is_repeatable_and_logged(
    settings: Settings, database: Database, model: Path, twice: tuple[list[UUID], str]
) -> None:
    jobs, log = twice
    assert_every_line_has_its_ids(log, jobs)
    first, second = (artifact(settings, database, job_id) / "model.safetensors" for job_id in jobs)
    assert first.read_bytes() == second.read_bytes()
    pruned = load_file(first)
    source = load_file(model / "model.safetensors")
    assert pruned.keys() == source.keys()
    assert sum(int((tensor == 0).sum()) for tensor in pruned.values()) > 0


def assert_every_line_has_its_ids(log: str, jobs: list[UUID]) -> None:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    named = {"job_claimed", "stage_started", "blocks_found", "job_succeeded"}
    found = [line for line in lines if line["event"] in named]
    assert all(line["fence"] > 0 for line in found)
    assert {line["event"] for line in found} == named
    assert {(line["job_id"], line["attempt"]) for line in found} == {(str(job_id), 1) for job_id in jobs}
    assert {line["request_id"] for line in found} == {"mine-1"}
    assert not any("trace_id" in line for line in found), "no collector of traces is set"


def stopped_in_the_middle(settings: Settings, database: Database) -> UUID:
    """A long job that was given back while it pruned."""
    stop = threading.Event()
    with pruning_meanwhile(settings, database, stop) as job_id:
        eventually(lambda: (job_row(database, job_id).progress or {})["done"] >= 4)
        stop.set()
    assert job_row(database, job_id).state == JobState.QUEUED
    return job_id


def finish(settings: Settings, database: Database, job_id: UUID) -> list[bool]:
    """Take the job up again and see it succeed; of every block in this attempt, whether an earlier one has done it."""
    before = len(events_of(database, job_id))
    eventually(lambda: work(settings, threading.Event()))
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    return [event.data["resumed"] for event in events_of(database, job_id)[before:] if event.type == "block_pruned"]


def undisturbed_bits(settings: Settings, database: Database) -> bytes:
    job_id = insert_job(database, model={"source": "local", "id": "slow"}, calibration=LONG)
    assert finish(settings, database, job_id) == [False] * 24
    return (artifact(settings, database, job_id) / "model.safetensors").read_bytes()


def stored_blocks(settings: Settings, job_id: UUID) -> list[Path]:
    return files(Path(settings.artifact_url.removeprefix("file://")) / "jobs" / str(job_id) / "blocks")


@pytest.mark.parametrize("place", ["the same host", "another host"])
def test_an_attempt_resumes_after_the_last_finished_block(
    settings: Settings, database: Database, tmp_path: Path, place: str
) -> None:
    job_id = stopped_in_the_middle(settings, database)
    other = settings if place == "the same host" else settings.model_copy(update={"cache_dir": tmp_path / "elsewhere"})
    eventually(lambda: stored_blocks(settings, job_id))
    resumed = finish(other, database, job_id)
    assert len(resumed) == 24
    assert 0 < resumed.count(True) < 24
    assert resumed == sorted(resumed, reverse=True)
    with database.begin() as session:
        layers = session.scalars(select(Layer).where(Layer.job_id == job_id).order_by(Layer.position)).all()
    assert [layer.block for layer in layers] == [block for block in range(24) for _ in range(7)]
    bits = (artifact(settings, database, job_id) / "model.safetensors").read_bytes()
    assert bits == undisturbed_bits(settings, database)
    assert stored_blocks(settings, job_id) == []
    assert files(other.cache_dir) == []


def test_blocks_missing_on_another_host_are_pruned_again(settings: Settings, database: Database, tmp_path: Path) -> None:
    job_id = stopped_in_the_middle(settings, database)
    first, *_ = sorted(stored_blocks(settings, job_id))
    content = first.read_bytes()
    first.unlink()  # it may be one with the journal's file
    first.write_bytes(content[:-1])
    resumed = finish(settings.model_copy(update={"cache_dir": tmp_path / "elsewhere"}), database, job_id)
    assert not resumed[0]
    assert any(resumed)
    assert (artifact(settings, database, job_id) / "model.safetensors").read_bytes() == undisturbed_bits(settings, database)


def test_blocks_of_a_job_that_ended_elsewhere_are_deleted(settings: Settings, database: Database, tmp_path: Path) -> None:
    job_id = stopped_in_the_middle(settings, database)
    assert files(settings.cache_dir / "blocks" / str(job_id)) != []
    finish(settings.model_copy(update={"cache_dir": tmp_path / "elsewhere"}), database, job_id)
    save_model(settings.model_root / "tiny")
    insert_job(database)
    run_once(settings)
    assert files(settings.cache_dir) == []


def test_a_cancelled_job_leaves_no_blocks(settings: Settings, database: Database) -> None:
    with pruning_meanwhile(settings, database, threading.Event()) as job_id:
        eventually(lambda: stored_blocks(settings, job_id))
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
    assert job_row(database, job_id).state == JobState.CANCELLED
    assert left_behind(settings) == []


def test_a_full_disk_is_reported_and_finished_blocks_are_kept(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = stopped_in_the_middle(settings, database)
    kept = stored_blocks(settings, job_id)
    usage = shutil.disk_usage(settings.cache_dir)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        eventually(lambda: work(settings, threading.Event()))
    (_, attempt) = attempts_of(database, job_id)
    assert attempt.detail is not None
    assert "disk-full: The pruned checkpoint in its formats and its finished blocks need" in attempt.detail
    assert job_row(database, job_id).state == JobState.QUEUED
    assert stored_blocks(settings, job_id) == kept
    assert any(finish(settings, database, job_id))
