"""Verdicts: ordered by the loss, taken from the worst data set, and absent where nothing can be compared."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.contract.verdicts import Verdict, judge, multiple

GAPS = st.floats(-1, 6)


def measured(**perplexities: float) -> dict[str, Any]:
    return {"perplexity": [{"dataset": name, "perplexity": value} for name, value in perplexities.items()]}


def at(gap: float) -> Verdict:
    found = judge({"dense": measured(text=10.0), "pruned": measured(text=10.0 * math.exp(gap))})
    assert found is not None
    return found.verdict


@given(GAPS, GAPS)
def test_a_larger_loss_never_gets_a_better_verdict(one: float, other: float) -> None:
    order = list(Verdict)
    assert order.index(at(min(one, other))) <= order.index(at(max(one, other)))


def test_every_verdict_is_given() -> None:
    assert [at(gap) for gap in (-0.1, 0.1, 0.3, 0.8, 2.0)] == list(Verdict)


def test_the_worst_data_set_decides() -> None:
    found = judge({"dense": measured(a=10.0, b=20.0), "pruned": measured(a=11.0, b=40.0)})
    assert found is not None
    assert (found.dataset, found.ratio, found.verdict) == ("b", 2.0, Verdict.SEVERE)


def test_the_ratio_is_written_with_its_paired_interval() -> None:
    pruned = measured(text=13.1)
    pruned["perplexity"][0]["loss_difference"] = {"mean": 0.27, "ci95": [math.log(1.25), math.log(1.375)]}
    found = judge({"dense": measured(text=10.0), "pruned": pruned})
    assert found is not None
    assert (found.verdict.words, found.ratio_text) == ("Noticeable loss", "× 1.31 (1.25 to 1.38)")


def test_ratios_keep_three_significant_digits() -> None:
    assert [multiple(ratio) for ratio in (1.0, 1.8, 12.5, 99.96, 1203.4, 1e9)] == [
        "1.00",
        "1.80",
        "12.5",
        "100",
        "1,203",
        "1e+09",
    ]


def test_nothing_is_judged_without_both_models() -> None:
    for metrics in (None, {}, {"pruned": measured(a=10.0)}, {"dense": measured(b=1.0), "pruned": measured(a=10.0)}):
        assert judge(metrics) is None


def test_an_overflow_of_the_interval_is_no_error() -> None:
    pruned = measured(text=1e300)
    pruned["perplexity"][0]["loss_difference"] = {"mean": 800.0, "ci95": [700.0, 900.0]}
    found = judge({"dense": measured(text=10.0), "pruned": pruned})
    assert found is not None
    assert found.verdict is Verdict.UNUSABLE
