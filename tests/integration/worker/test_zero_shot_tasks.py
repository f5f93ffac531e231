"""Zero-shot tasks of jobs, from the request to the figures, held against lm-evaluation-harness run by hand on the artifact."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import lm_eval
import pytest
import torch
from lm_eval.tasks import TaskManager
from sqlalchemy import update

from service.contract.provenance import PROVENANCE_NAME, Provenance
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support import checkpoints
from tests.support import lm_eval_tasks as made_up_tasks
from tests.support.api_server import client, key_for, serving
from tests.support.job_rows import event_types, events_of, insert_job, job_row
from tests.support.threads import attempt_thread
from tests.support.waiting import eventually
from worker.attempt.runner import work
from worker.evaluation.tasks.harness import BATCH_SIZE

NAMES = ["arc_easy", "winogrande"]


@pytest.fixture(autouse=True)
def _index() -> Iterator[None]:
    with made_up_tasks.builtin_tasks_indexed_once():
        yield


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With tasks of the operator, and a model with a tokenizer that the harness can use."""
    checkpoints.save(settings.model_root / "tiny", max_position_embeddings=512)
    return settings.model_copy(update={"tasks_dir": made_up_tasks.write(tmp_path / "tasks", examples=20)})


def asked(**evaluation: Any) -> dict[str, Any]:
    return {
        "model": {"source": "local", "id": "tiny"},
        "recipe": {"refinement": {"method": "none"}},
        "calibration": {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 16},
        "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 16, "max_windows": 2} | evaluation,
    }


def artifact(settings: Settings, database: Database, job_id: UUID) -> Path:
    prefix = job_row(database, job_id).artifact_prefix
    assert prefix is not None
    return Path(settings.artifact_url.removeprefix("file://")) / prefix


def by_hand(model: Path, settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    assert settings.tasks_dir is not None
    monkeypatch.chdir(settings.tasks_dir)
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model)},
        tasks=[name],
        batch_size=BATCH_SIZE,
        device="cpu",
        limit=15,
        task_manager=TaskManager(include_path=str(settings.tasks_dir), include_defaults=False),
    )
    return {key: value for key, value in found["results"][name].items() if "," in key}


def test_a_job_matches_the_harness_on_both_models(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(settings) as url,
        client(url, key_for(database, Scope.ADMIN)) as api,
    ):
        made = api.post("/v1/jobs", json=asked(tasks=NAMES, task_limit=15))
        assert made.status_code == 201, made.text
        job_id = UUID(made.json()["id"])
        assert work(settings, threading.Event())
        assert job_row(database, job_id).state == JobState.SUCCEEDED, job_row(database, job_id).error
        metrics = api.get(f"/v1/jobs/{job_id}/metrics").json()
    assert metrics["warnings"] == []
    for which, model in {"dense": settings.model_root / "tiny", "pruned": artifact(settings, database, job_id)}.items():
        assert [found["task"] for found in metrics[which]["tasks"]] == NAMES
        for found in metrics[which]["tasks"]:
            told = {f"{name},none": each["value"] for name, each in found["metrics"].items()}
            told |= {f"{name}_stderr,none": each["standard_error"] for name, each in found["metrics"].items()}
            assert told == by_hand(model, settings, found["task"], monkeypatch)
            about = {name: found[name] for name in ("version", "samples", "few_shot", "harness")}
            assert about == {"version": "1.0", "samples": 15, "few_shot": 0, "harness": lm_eval.__version__}
    evaluated = [event.data for event in events_of(database, job_id) if event.type == "evaluated"]
    assert [(each["model"], len(each["tasks"])) for each in evaluated] == [
        *(("dense", 0), ("pruned", 0)),
        *(("dense", 2), ("pruned", 2)),
    ]
    work_done = job_row(database, job_id).work
    assert work_done is not None
    assert work_done["evaluated_tokens"] > 2 * 2 * 16 + 2 * 15 * 6 * 10
    card = (artifact(settings, database, job_id) / "README.md").read_text()
    assert card.count("| `arc_easy` | 15 | 0 |") == 2
    provenance = Provenance.model_validate_json((artifact(settings, database, job_id) / PROVENANCE_NAME).read_bytes())
    assert [(each.task, each.questions) for each in provenance.tasks] == [(name, 15) for name in NAMES]


@pytest.mark.parametrize(
    ("code", "evaluation"),
    [
        ("task-not-found", {"tasks": ["no_such_task"]}),
        ("task-data-unavailable", {"tasks": ["winogrande"]}),
        ("invalid-request", {"tasks": ["shown"], "few_shot": 9}),
    ],
)
def test_invalid_tasks_fail_before_the_pruning(
    settings: Settings, database: Database, code: str, evaluation: dict[str, Any]
) -> None:
    assert settings.tasks_dir is not None
    (settings.tasks_dir / "winogrande.jsonl").unlink()
    job_id = insert_job(database, **asked(**evaluation), max_attempts=1)
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == code, job.error
    assert "block_pruned" not in event_types(database, job_id)


def test_a_job_is_cancelled_during_a_task(settings: Settings, database: Database) -> None:
    assert settings.tasks_dir is not None
    made_up_tasks.write(settings.tasks_dir, examples=3000)
    job_id = insert_job(database, **asked(perplexity=[], tasks=["arc_easy"]))
    with attempt_thread(settings):
        progress = eventually(lambda: counted(database, job_id))
        assert (progress["unit"], progress["total"]) == ("requests", 2 * 3000 * 4)
        eventually(lambda: counted(database, job_id)["eta_seconds"])  # not from the first few
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
    assert job_row(database, job_id).state == JobState.CANCELLED
    assert counted(database, job_id)["done"] < 2 * 3000 * 4


def counted(database: Database, job_id: UUID) -> dict[str, Any]:
    """The progress of the evaluation, once there is some."""
    job = job_row(database, job_id)
    progress = dict(job.progress or {})
    return progress if job.stage == "evaluating" and progress.get("done", 0) > 0 else {}


def test_failing_tasks_after_the_pruning_keep_its_result(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("worker.evaluation.tasks.harness.answers", run_out)
    job_id = insert_job(database, **asked(tasks=["arc_easy"]))
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    assert job.metrics["pruned"]["tasks"] == []
    assert job.metrics["pruned"]["perplexity"] != []
    [warning] = [each for each in job.metrics["warnings"] if "zero-shot" in each]
    assert "does not fit into memory" in warning
    assert (artifact(settings, database, job_id) / "manifest.json").is_file()
