"""The demo without a stack: what it asks for, what it shows, how it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service import demo
from service.client import Job
from service.contract import JobSpec, JobState, Manifest
from service.embedded.record import API_KEY_FILE

Follow = Callable[["_Client", str], Job]


class _Client:
    """A service whose jobs end as soon as they are followed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.cancelled: list[str] = []

    def __call__(self, *_address_and_key: str) -> "_Client":
        return self

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None: ...

    def create_job(self, body: dict[str, Any]) -> Job:
        self.asked.append(JobSpec.model_validate(body).model_dump(mode="json"))
        return self.job(str(len(self.asked)), JobState.QUEUED)

    def cancel_job(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def manifest(self, job_id: str) -> Manifest:
        return Manifest(job_id=job_id, fence=1, files=[])

    def job(self, job_id: str, state: JobState, metrics: dict[str, Any] | None = None) -> Job:
        spec = self.asked[int(job_id) - 1]
        return Job(id=job_id, state=state, spec=spec, created_at="2026-01-31T12:00:00Z", metrics=metrics)


def _measured(perplexity: float) -> dict[str, Any]:
    return {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": perplexity}]}


def _succeed(client: _Client, job_id: str) -> Job:
    wanted = client.asked[int(job_id) - 1]
    is_wanda = wanted["recipe"]["refinement"]["method"] == "none"
    metrics = {"pruned": _measured(40.5 if is_wanda else 30.25), "sparsity": 0.5, "seconds": {"pruning": 60.0}}
    dense = {"dense": _measured(20.125)} if wanted["evaluation"]["baseline"] else {}
    return client.job(job_id, JobState.SUCCEEDED, metrics | dense)


def _fail(client: _Client, job_id: str) -> Job:
    return client.job(job_id, JobState.FAILED)


def _interrupt(_client: _Client, _job_id: str) -> Job:
    raise KeyboardInterrupt


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
    monkeypatch.setattr(demo, "_shipped_model", lambda: tmp_path)
    monkeypatch.setattr(demo, "import_model", lambda *_: None)
    monkeypatch.setattr(demo, "DsnotClient", client)
    return client


@pytest.fixture
def ends(client: _Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """How the jobs end, one after the other."""

    def set_ends(*each: Follow) -> None:
        left = iter(each)
        monkeypatch.setattr(demo, "follow", lambda _client, job_id, _check: next(left)(client, job_id))

    return set_ends


def test_the_two_jobs_differ_only_in_the_recipe_and_in_who_measures_the_dense_model() -> None:
    job, wanda = (JobSpec.model_validate(body).model_dump(mode="json") for body in (demo.JOB, demo.WANDA_JOB))
    assert (job.pop("recipe"), wanda.pop("recipe")) != (None, None)
    assert (job["evaluation"].pop("baseline"), wanda["evaluation"].pop("baseline")) == (True, False)
    assert job == wanda


def test_wanda_stands_between_dense_and_the_preset(
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
    assert ["perplexity", "on", "wiki-sample:test", "20.125", "40.500", "30.250"] in lines
    assert ["sparsity", "of", "the", "pruned", "matrices", "0.0", "%", "50.00", "%", "50.00", "%"] in lines
    assert str(tmp_path / "artifacts" / "jobs" / "1" / "1") in shown


@pytest.mark.parametrize(("each", "asked"), [((_fail,), 1), ((_succeed, _fail), 2)])
def test_a_job_that_does_not_succeed_gives_status_1(
    client: _Client, ends: Callable[..., None], each: tuple[Follow, ...], asked: int
) -> None:
    ends(*each)
    assert demo.main() == 1
    assert len(client.asked) == asked


def test_what_was_measured_is_shown_even_if_wanda_fails(
    client: _Client, ends: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ends(_succeed, _fail)
    demo.main()
    shown, told = capsys.readouterr()
    assert "30.250" in shown
    assert "Wanda" not in shown
    assert "job 2 failed" in told


@pytest.mark.parametrize("each", [(_interrupt,), (_succeed, _interrupt)])
def test_an_interrupt_cancels_the_job_that_runs(client: _Client, ends: Callable[..., None], each: tuple[Follow, ...]) -> None:
    ends(*each)
    assert demo.main() == 130
    assert client.cancelled == [str(len(each))]
