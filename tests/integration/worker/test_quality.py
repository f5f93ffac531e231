"""What jobs tell of quality: how sure it is, how the pruned model agrees with the dense one, and what a second job saves."""

import json
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support import checkpoints
from tests.support.job_rows import events_of, insert_job, job_row
from tests.support.tiny_model import save_model
from worker.attempt.runner import work

LENGTH, WINDOWS = 16, 5
EVALUATION = {"perplexity": ["wiki-sample"], "sequence_length": LENGTH, "max_windows": WINDOWS, "agreement_windows": 3}


@pytest.fixture(autouse=True)
def model(settings: Settings) -> Path:
    return save_model(settings.model_root / "tiny")


def done(settings: Settings, database: Database, model: str = "tiny", **changes: Any) -> Job:
    job_id = insert_job(database, model={"source": "local", "id": model}, evaluation=EVALUATION | changes)
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    return job


def told(database: Database, job_id: UUID) -> dict[str, dict[str, Any]]:
    """The events of measurements, by the model."""
    found = [event.data for event in events_of(database, job_id) if event.type == EventType.EVALUATED]
    return {data["model"]: data for data in found}


def metrics_of(job: Job) -> dict[str, Any]:
    assert job.metrics is not None
    return job.metrics


def evaluated_tokens(job: Job) -> int:
    assert job.work is not None
    return int(job.work["evaluated_tokens"])


def test_metrics_card_and_events_have_intervals_and_agreement(settings: Settings, database: Database) -> None:
    job = done(settings, database)
    metrics = metrics_of(job)
    [dense], [pruned] = metrics["dense"]["perplexity"], metrics["pruned"]["perplexity"]
    for measured in (dense, pruned):
        assert measured["ci95"][0] < measured["perplexity"] < measured["ci95"][1]
        assert measured["dropped_tokens"] > 0
        assert (measured["sequence_length"], measured["begins_with_bos"], measured["cached"]) == (LENGTH, False, False)
    assert dense["loss_difference"] is None
    assert pruned["loss_difference"]["mean"] == pytest.approx(pruned["mean_nll"] - dense["mean_nll"])
    [agreement] = metrics["agreement"]
    assert (agreement["windows"], agreement["tokens"]) == (3, 3 * (LENGTH - 1))
    assert 0 < agreement["kl_divergence"] < agreement["kl_p99"]
    events = told(database, job.id)
    assert (events["dense"]["perplexity"], events["pruned"]["perplexity"]) == ([dense], [pruned])
    assert events["pruned"]["agreement"] == [agreement]
    assert "agreement" not in events["dense"]
    store = Path(settings.artifact_url.removeprefix("file://"))
    card = (store / str(job.artifact_prefix) / "README.md").read_text()
    assert f"{agreement['kl_divergence']:.4f} ± {agreement['kl_standard_error']:.4f}" in card
    assert f"{pruned['perplexity']:.4f} ({pruned['ci95'][0]:.2f} to {pruned['ci95'][1]:.2f})" in card


def test_a_model_that_rests_on_bos_is_calibrated_and_measured_with_it(settings: Settings, database: Database) -> None:
    checkpoints.save_resting_on_bos(settings.model_root / "resting")
    job = done(settings, database, "resting")
    metrics = metrics_of(job)
    bos = metrics["bos"]
    assert (bos["calibration"], bos["evaluation"]) == ("window", "window")
    assert bos["loss_window"] < bos["loss_stream"]
    for which in ("dense", "pruned"):
        assert [measured["bos"] for measured in metrics[which]["perplexity"]] == ["window"]
    folder = Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)
    assert json.loads((folder / "provenance.json").read_text())["bos"] == "window"
    assert "at its head" in (folder / "README.md").read_text()
    papers = metrics_of(done(settings, database, "resting", bos="stream"))
    assert papers["bos"] == bos | {"evaluation": "stream"}  # the dense losses of the first job are known
    assert papers["dense"]["perplexity"][0]["mean_nll"] > metrics["dense"]["perplexity"][0]["mean_nll"] + 0.5


def test_a_second_job_reports_the_reused_dense_measurement(settings: Settings, database: Database) -> None:
    first, second = done(settings, database), done(settings, database)
    before, after = metrics_of(first), metrics_of(second)
    assert after["dense"]["perplexity"] == [before["dense"]["perplexity"][0] | {"cached": True}]
    assert (after["pruned"], after["agreement"]) == (before["pruned"], before["agreement"])
    assert told(database, second.id)["dense"]["perplexity"][0]["cached"]
    whole = WINDOWS * LENGTH
    assert evaluated_tokens(first) == 2 * whole
    assert evaluated_tokens(second) == 2 * whole  # windows this short share one batch, so that all went once more
    without = done(settings, database, agreement_windows=0)
    assert evaluated_tokens(without) == whole
    assert metrics_of(without)["agreement"] is None
    assert metrics_of(without)["pruned"] == before["pruned"]


def test_another_text_or_a_changed_model_is_measured_again(settings: Settings, database: Database, model: Path) -> None:
    done(settings, database)
    other = metrics_of(done(settings, database, max_windows=WINDOWS - 1))
    assert not other["dense"]["perplexity"][0]["cached"]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    changed = metrics_of(done(settings, database))
    assert not changed["dense"]["perplexity"][0]["cached"]


def test_without_a_baseline_there_is_no_comparison(settings: Settings, database: Database) -> None:
    metrics = metrics_of(done(settings, database, baseline=False))
    assert (metrics["dense"], metrics["agreement"]) == (None, None)
    assert metrics["pruned"]["perplexity"][0]["loss_difference"] is None
