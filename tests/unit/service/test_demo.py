"""The demo without a stack: what it asks for, what it shows, how it ends."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service import demo
from service.client import Job
from service.contract.artifacts import Manifest
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.embedded.record import API_KEY_FILE

Follow = Callable[["_Client", str], Job]


class _Client:
    """A service whose jobs end as soon as they are followed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.jobs = self

    def __call__(self, *_address_and_key: str) -> "_Client":
        return self

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None: ...

    def create(self, body: dict[str, Any]) -> Job:
        self.asked.append(JobSpec.model_validate(body).model_dump(mode="json"))
        return self.job(str(len(self.asked)), JobState.QUEUED)

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def manifest(self, job_id: str) -> Manifest:
        return Manifest(job_id=job_id, fence=1, files=[])

    def job(self, job_id: str, state: JobState, metrics: dict[str, Any] | None = None) -> Job:
        spec = self.asked[int(job_id) - 1]
        return Job(id=job_id, state=state, spec=spec, created_at="2026-01-31T12:00:00Z", metrics=metrics)


def _measured(perplexity: float, dense: float | None = None) -> dict[str, Any]:
    difference = {"loss_difference": {"mean": math.log(perplexity / dense), "ci95": None}} if dense else {}
    return {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": perplexity, **difference}]}


def _succeed(client: _Client, job_id: str) -> Job:
    wanted = client.asked[int(job_id) - 1]
    is_wanda = wanted["recipe"]["refinement"]["method"] == "none"
    pruned = _measured(40.25 if is_wanda else 30.1875, dense=20.125)
    metrics = {"dense": _measured(20.125), "pruned": pruned, "sparsity": 0.5, "seconds": {"pruning": 60.0}}
    return client.job(job_id, JobState.SUCCEEDED, metrics)


def _fail(client: _Client, job_id: str) -> Job:
    return client.job(job_id, JobState.FAILED)


def _interrupt(_client: _Client, _job_id: str) -> Job:
    raise KeyboardInterrupt


def _continue(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    assert command[:4] == [sys.executable, "-m", "worker.continuation", demo.PROMPT]
    *folders, packed = command[4:]
    assert packed == "--packed"
    texts = [f"  {Path(folder).name}\n is green" for folder in [*folders, folders[-1]]]
    lines = [json.dumps({"text": text, "tokens_per_second": 31.25, "weight_bytes": 1 << 28}) for text in texts]
    return subprocess.CompletedProcess(command, 0, "\n".join(lines))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Client:
    @contextmanager
    def service(_home: Path, _stop: object) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "http://service", lambda: None

    (tmp_path / API_KEY_FILE).write_text("dsnot_key")
    client = _Client()
    monkeypatch.setenv("DSNOT_HOME", str(tmp_path))
    monkeypatch.delenv("KEEP", raising=False)
    monkeypatch.setattr(demo, "_service", service)
    monkeypatch.setattr(demo, "shipped_model", lambda: tmp_path)
    monkeypatch.setattr(demo, "import_model", lambda *_: None)
    monkeypatch.setattr(demo, "Client", client)
    monkeypatch.setattr(subprocess, "run", _continue)
    return client


@pytest.fixture
def ends(client: _Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """How the jobs end, one after the other."""

    def set_ends(*each: Follow) -> None:
        left = iter(each)
        monkeypatch.setattr(demo, "follow", lambda _client, job_id, _check: next(left)(client, job_id))

    return set_ends


def test_the_two_jobs_differ_in_recipe_and_dense_windows_only() -> None:
    job, wanda = (JobSpec.model_validate(body).model_dump(mode="json") for body in (demo.JOB, demo.WANDA_JOB))
    assert (job.pop("recipe"), wanda.pop("recipe")) != (None, None)
    assert (job["evaluation"].pop("agreement_windows"), wanda["evaluation"].pop("agreement_windows")) == (2, 0)
    assert job == wanda


def test_wanda_is_listed_between_dense_and_the_preset(
    client: _Client, ends: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ends(_succeed, _succeed)
    assert demo.main() == 0
    assert [(asked["recipe"]["preset"], asked["recipe"]["refinement"]["method"]) for asked in client.asked] == [
        ("balanced", "swaps"),
        (None, "none"),
    ]
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert ["dense", "Wanda", "balanced"] in lines
    assert ["perplexity", "on", "wiki-sample:test", "20.12", "40.25", "30.19"] in lines
    assert ["times", "the", "dense", "model's,", "with", "95", "%", "interval", "2.000", "1.500"] in lines
    assert ["sparsity", "of", "the", "pruned", "matrices", "0.0", "%", "50.00", "%", "50.00", "%"] in lines
    assert str(tmp_path / "artifacts" / "jobs" / "1" / "1") in shown
    assert [line for line in lines if line[-2:] == ["is", "green"]] == [
        ["dense", demo.MODEL, "is", "green"],
        [demo.PRESET, "1", "is", "green"],
        [f"{demo.PRESET},", "packed", "1", "is", "green"],
    ]
    assert ["decode,", "tokens", "per", "second", *["31.2"] * 3] in lines
    assert ".venv/bin/dsnot up" in shown


@pytest.mark.parametrize(("each", "asked"), [((_fail,), 1), ((_succeed, _fail), 2)])
def test_a_job_that_does_not_succeed_gives_status_1(
    client: _Client, ends: Callable[..., None], each: tuple[Follow, ...], asked: int
) -> None:
    ends(*each)
    assert demo.main() == 1
    assert len(client.asked) == asked


def test_results_are_shown_even_if_wanda_fails(
    client: _Client, ends: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ends(_succeed, _fail)
    demo.main()
    shown, told = capsys.readouterr()
    assert "30.19" in shown
    assert "Wanda" not in shown
    assert "job 2 failed" in told


@pytest.mark.parametrize("each", [(_interrupt,), (_succeed, _interrupt)])
def test_an_interrupt_cancels_the_running_job(client: _Client, ends: Callable[..., None], each: tuple[Follow, ...]) -> None:
    ends(*each)
    assert demo.main() == 130
    assert client.cancelled == [str(len(each))]
