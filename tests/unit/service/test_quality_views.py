"""Quality as a person reads it: intervals, agreement, and what an event tells of them."""

from typing import Any

import pytest

from service.client import Event
from service.commands import job_views, watching
from service.contract import EventType


def test_intervals_and_agreement_are_shown_where_they_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
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
    for expected in ("17.250 ± 0.500", "29.125 ± 1.250", "agreement on wiki-sample:test", "0.5123 ± 0.0123", "71.23 ± 0.50 %"):
        assert expected in shown
    single = agreement | {"kl_standard_error": None, "top1_standard_error": None}
    [(_, line)] = job_views.agreement_lines([single])
    assert line.startswith("KL divergence 0.5123 nats per token, same next token 71.23 %")


def test_an_event_tells_what_an_earlier_job_has_measured() -> None:
    data = {"dataset": "wiki-sample:test", "perplexity": 17.25, "ci95": [17.0, 17.5], "cached": True}
    told = Event(1, EventType.EVALUATED, {"model": "dense", "perplexity": [data]})
    assert watching.news(told) == "dense perplexity 17.25 ± 0.25 on wiki-sample:test (measured by an earlier job)"
