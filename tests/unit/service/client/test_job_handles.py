"""Handles of jobs: options, progress, one-line views, tables."""

import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.client import AsyncJob, Client, InvalidOption, Job, Metrics, NotInstalled, NotMeasured
from service.client.job_options import body_of
from service.contract.gates import Gate
from service.contract.spec import JobSpec
from tests.support.client_kinds import client_on
from tests.support.job_examples import filled
from tests.support.sweep_points import metrics_of

_ID = "11111111-2222-3333-4444-555555555555"
SPEC = filled(evaluation={"perplexity": ["wiki-sample"]})
METRICS = metrics_of(JobSpec.model_validate(SPEC), 0.5)
for _each in METRICS["agreement"]:
    _each["kl_p99"] = 1.0


def document(state: str, **values: Any) -> dict[str, Any]:
    return {"id": _ID, "state": state, "spec": SPEC, "created_at": "2026-01-31T12:00:00Z", "labels": {"team": "x"}} | values


def client_of(*documents: dict[str, Any]) -> Client:
    left = iter(documents)
    return client_on("blocking", lambda _: httpx.Response(200, json=next(left)))


RUNNING = document("running", stage="pruning", progress={"done": 12, "total": 24, "unit": "blocks"})
DONE = document("succeeded", metrics=METRICS, gates_passed=False)


def test_keywords_make_the_body_of_a_job_and_override_a_spec() -> None:
    gate = Gate(metric="perplexity", at_most_increase=0.3)
    spec = JobSpec.model_validate({"model": {"id": "org/model"}, "labels": {"team": "x"}})
    options = {"model": "tiny", "source": "local", "sparsity": 0.5, "preset": "fast", "evaluate": ["c4-sample"]}
    assert body_of(spec, {**options, "sequence_length": 64, "require": [gate]}) == {
        "model": {"source": "local", "id": "tiny"},
        "recipe": {"preset": "fast", "pattern": {"type": "unstructured", "sparsity": 0.5}},
        "calibration": {"sequence_length": 64},
        "evaluation": {
            "perplexity": ["c4-sample"],
            "sequence_length": 64,
            "require": [{"metric": "perplexity", "at_most_increase": 0.3}],
        },
        "labels": {"team": "x"},
    }
    assert body_of(None, {"model": "m", "name": "first", "effort": "quick"}) == {
        "model": {"id": "m"},
        "name": "first",
        "effort": "quick",
    }
    assert body_of(None, {"model": "m", "pattern": "2:4"})["recipe"] == {"pattern": {"type": "n:m", "n": 2, "m": 4}}
    assert spec.model.id == "org/model"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.5}, "no model given"),
        ({"model": "m", "sparsety": 0.5}, "sparsety is no option of a job; known are name, model, source"),
        ({"model": "m", "sparsity": 0.5, "pattern": "2:4"}, "exclude each other"),
        ({"model": "m", "pattern": "2-4"}, "must be n:m such as 2:4"),
        ({"model": "m", "evaluate": "wiki-sample"}, r"evaluate takes a list, such as evaluate=\['wiki-sample'\]"),
    ],
)
def test_options_that_make_no_job_are_refused_before_a_request(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        client_of().jobs.create(**options)


def test_a_handle_is_updated_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    job = client_of(document("queued"), RUNNING, DONE).jobs.create(model="m")
    assert (job.state, job.metrics, job.url) == ("queued", None, f"http://service/jobs/{_ID}")
    assert job.wait(progress=True) is job
    assert job.state == "succeeded"
    assert job.metrics is not None
    assert job.metrics.ratio("wiki-sample") == pytest.approx(1.6487, abs=1e-3)
    shown = capsys.readouterr().err
    assert "\rpruning ██████████░░░░░░░░░░ 12 of 24 blocks" in shown
    assert shown.rstrip(" \n").endswith("\rsucceeded")


def test_a_wait_that_is_given_up_ends_its_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        client_of(RUNNING).jobs.wait(_ID, timeout=0, progress=True)
    assert capsys.readouterr().err.endswith("12 of 24 blocks\n")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client_of(RUNNING).jobs.wait(_ID, progress=True)
    assert capsys.readouterr().err.endswith("12 of 24 blocks\n")


def test_without_a_terminal_waiting_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    client_of(RUNNING, DONE).jobs.get(_ID).wait()
    assert capsys.readouterr() == ("", "")


def test_views_are_one_line_and_escaped_html() -> None:
    hostile = DONE | {"spec": SPEC | {"model": {"source": "hub", "id": "<b>model"}}}
    job = client_of(hostile).jobs.get(_ID)
    line = repr(job)
    assert line.startswith(f"<Job {_ID} succeeded: <b>model, 50 %, ")
    assert line.endswith("; perplexity 1.65 times dense on wiki-sample:test; a gate is missed>")
    assert "&lt;b&gt;model" in job._repr_html_()
    assert "<b>" not in job._repr_html_()
    assert repr(client_of(document("running", metrics={"pruned": 3})).jobs.get(_ID)).startswith("<Job")


@pytest.mark.parametrize(
    ("metrics", "dataset", "message"),
    [
        ({}, "wiki-sample", "nothing yet"),
        (METRICS, "c4", "no single ratio of perplexities on c4; both models were measured on wiki-sample:test"),
        (METRICS | {"dense": None}, None, "nothing yet"),
    ],
)
def test_a_ratio_that_was_not_measured_is_named(metrics: dict[str, Any], dataset: str | None, message: str) -> None:
    with pytest.raises(NotMeasured, match=message):
        Metrics.model_validate(metrics).ratio(dataset)


def test_lists_become_tables() -> None:
    table = client_of({"items": [DONE | {"name": "a"}], "next_cursor": None}).jobs.list().to_pandas()
    [row] = table.to_dict("records")
    assert (row["id"], row["name"], row["pattern"], row["label.team"], row["gates_passed"]) == (_ID, "a", "50 %", "x", False)
    assert row["perplexity:wiki-sample:test"] == pytest.approx(12.0 * 1.6487, rel=1e-3)


def test_without_pandas_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotInstalled, match="pip install pandas"):
        client_of({"items": [DONE], "next_cursor": None}).jobs.list().to_pandas()


@pytest.mark.parametrize(("change", "calls"), [("cancel", 1), ("pause", 1), ("resume", 1), ("refresh", 1)])
def test_changes_return_the_same_handle(change: str, calls: int) -> None:
    job = client_of(RUNNING, *[DONE] * calls).jobs.get(_ID)
    call: Callable[[], Job] = getattr(job, change)
    assert call() is job
    assert job.has_ended


def test_both_clients_have_the_same_handle() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Job) == names(AsyncJob)
