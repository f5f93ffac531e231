"""A GPU that fails during a job: its worker ends, another one has the job, and the attempt does not count."""

import threading
from pathlib import Path

import pytest
import torch

from service.contract.states import JobState
from service.database.engine import Database
from service.jobs.attempts.transitions import UNCOUNTED_LOSSES
from service.settings import Settings
from tests.support.job_rows import attempts_of, events_of, insert_job, job_row
from tests.support.processes import dispatching, working
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually
from worker.attempt import runner
from worker.devices import DeviceLost


def test_a_lost_gpu_ends_its_worker_and_another_worker_does_the_job(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    save_model(settings.model_root / "tiny")
    with dispatching(settings, tmp_path):
        with working(settings, tmp_path, "first", "tests.support.losing_worker") as first:
            job_id = insert_job(database, max_attempts=1)
            assert first.process.wait(CEILING_SECONDS) == 1
            assert "has failed; check nvidia-smi" in first.log.read_text()
        (lost,) = attempts_of(database, job_id)
        assert (lost.outcome, str(lost.detail).partition(":")[0]) == ("released", "gpu-lost")
        with working(settings, tmp_path, "second"):
            eventually(lambda: job_row(database, job_id).state == JobState.SUCCEEDED)
    job = job_row(database, job_id)
    assert job.attempts_counted == 1
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["released", "succeeded"]
    assert [event.data["reason"] for event in events_of(database, job_id) if event.type == "requeued"] == ["gpu-lost"]


def test_a_job_that_loses_every_gpu_fails_in_the_end(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(runner, "prune_and_publish", lose)
    job_id = insert_job(database, max_attempts=1)
    for _ in range(UNCOUNTED_LOSSES + 1):
        with pytest.raises(DeviceLost):
            runner.work(settings, threading.Event())
    job = job_row(database, job_id)
    assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "internal")
    assert [each.outcome for each in attempts_of(database, job_id)] == ["released"] * UNCOUNTED_LOSSES + ["failed"]
