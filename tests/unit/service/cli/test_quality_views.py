"""Quality as a person reads it: intervals, agreement, and what an event tells of them."""

import math
from typing import Any

import pytest

from service.cli import job_views, watching
from service.cli.sample_views import print_samples
from service.client import Event
from service.contract.states import EventType
from tests.support.job_examples import made_job


def test_intervals_and_agreement_are_shown_if_measured(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(value: float, reach: float) -> dict[str, Any]:
        interval = [value - reach, value + reach]
        return {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": value, "ci95": interval}]}

    agreement = {
        "dataset": "wiki-sample:test",
        "windows": 4,
        "tokens": 4092,
        "kl_divergence": 0.51234,
        "kl_standard_error": 0.0123,
        "kl_p99": 3.5,
        "top1_agreement": 0.71234,
        "top1_standard_error": 0.005,
    }
    job_views.print_metrics(
        {"dense": measured(17.25, 0.5), "pruned": measured(29.125, 1.25), "agreement": [agreement], "sparsity": 0.5}
    )
    shown = capsys.readouterr().out
    for expected in ("17.25 ± 0.500", "29.12 ± 1.250", "agreement on wiki-sample:test", "0.5123 ± 0.0123", "71.23 ± 0.50 %"):
        assert expected in shown
    single = agreement | {"kl_standard_error": None, "top1_standard_error": None}
    [(_, line)] = job_views.agreement_lines([single])
    assert line.startswith("KL divergence 0.5123 nats per token, same next token 71.23 %")


def test_an_event_shows_results_reused_from_an_earlier_job() -> None:
    data = {"dataset": "wiki-sample:test", "perplexity": 17.25, "ci95": [17.0, 17.5], "cached": True}
    told = Event(1, EventType.EVALUATED, {"model": "dense", "perplexity": [data]})
    assert watching.news(told) == "dense perplexity 17.25 on wiki-sample:test (measured by an earlier job)"


def _pruned(value: float, **difference: Any) -> dict[str, Any]:
    measured = {"dataset": "wiki-sample:test", "perplexity": value, "ci95": [value - 5, value + 5]}
    return {"perplexity": [measured | {"loss_difference": {"standard_error": 0.01, **difference}}]}


def test_pruned_perplexity_is_compared_on_paired_windows(capsys: pytest.CaptureFixture[str]) -> None:
    dense = {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": 20.0, "ci95": [15.0, 25.0]}]}
    pruned = _pruned(30.0, mean=math.log(1.5), ci95=[math.log(1.25), math.log(1.75)])
    job_views.print_quality({"dense": (dense, 0.0), "pruned": (pruned, 0.5)})
    shown = capsys.readouterr().out
    assert "1.500 (1.250 to 1.750)" in shown
    assert "±" not in shown

    told = watching.news(Event(1, EventType.EVALUATED, {"model": "pruned", **pruned}))
    assert told == "pruned perplexity 30.00 on wiki-sample:test, 1.500 (1.250 to 1.750) of the dense model's"


@pytest.mark.parametrize(
    ("difference", "shown"), [({"mean": 0.0, "ci95": None}, "1.000"), ({"mean": 800.0, "ci95": [700.0, 900.0]}, "")]
)
def test_a_ratio_without_interval_or_with_infinite_values(difference: dict[str, Any], shown: str) -> None:
    assert job_views.ratio(_pruned(30.0, **difference)["perplexity"][0]) == shown


SAMPLES = {
    "continuations": [
        {"prompt": f"Prompt {number}", "dense": {"text": "it heats\nwater"}, "pruned": {"text": "it heats ice" + " ice" * 99}}
        for number in (1, 2)
    ],
    "identical": 0,
    "equal_share": 0.25,
    "repetition": {"dense": 0.0, "pruned": 0.9},
}


def test_the_first_sample_is_shown_shortly_and_all_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    print_samples(SAMPLES)
    short = capsys.readouterr().out
    assert "Prompt 1" in short
    assert "Prompt 2" not in short
    assert "it heats⟦ water⟧" in short
    assert max(map(len, short.splitlines())) < 220
    assert "All 2: --samples." in short
    print_samples(SAMPLES, are_all=True)
    whole = capsys.readouterr().out
    assert "Prompt 2" in whole
    assert whole.count("ice") == 200
    print_samples(None)
    assert capsys.readouterr().out == ""


def test_a_job_says_when_its_artifact_was_removed(capsys: pytest.CaptureFixture[str]) -> None:
    job_views.print_job(made_job(state="succeeded"))
    assert "artifact" not in capsys.readouterr().out
    job_views.print_job(made_job(state="succeeded", artifact_removed_at="2026-02-28T12:00:00Z"))
    assert "artifact     removed 2026-02-28" in capsys.readouterr().out
