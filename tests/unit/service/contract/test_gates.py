"""Gates of a job: which are refused, and how they are judged."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.gates import Gate, gate_text
from service.contract.judging import judged
from service.contract.spec import JobSpec
from service.contract.targets import Target
from service.contract.validation_errors import errors_of
from service.sweeps.candidates import gap_to
from tests.support.sweep_points import TEMPLATE, metrics_of

DATASET = "wiki-sample:test"
RATIO = {"at_most_increase": 0.3}


def body(*require: Any, **evaluation: Any) -> dict[str, Any]:
    return TEMPLATE | {"evaluation": TEMPLATE["evaluation"] | {"require": list(require)} | evaluation}


def outcome(gate: dict[str, Any], increase: float = 0.2, half_width: float = 0.0, **parts: Any) -> dict[str, Any]:
    spec = JobSpec.model_validate(body(gate, tasks=["arc_easy"]))
    metrics = metrics_of(spec, increase, half_width=half_width)
    metrics["pruned"] |= parts.get("pruned", {})
    [result] = judged(spec.evaluation.gates, metrics)
    return result.model_dump(mode="json")


@pytest.mark.parametrize(
    ("require", "evaluation", "pointer", "detail"),
    [
        (RATIO | {"dataset": "c4-sample:test"}, {}, "/0/dataset", "add it to evaluation.perplexity"),
        (RATIO, {"perplexity": []}, "/0/dataset", "add it to evaluation.perplexity"),
        (RATIO, {"perplexity": ["wiki-sample", "c4-sample"]}, "/0/dataset", "is required, because the jobs measure wiki-sample"),
        ({"metric": "task:arc_easy", "at_least": 0.4}, {}, "/0/metric", "add it to evaluation.tasks"),
        (RATIO, {"baseline": False}, "../baseline", "must be true, because perplexity on wiki-sample:test"),
        ({"metric": "kl_divergence", "at_most": 0.1}, {"agreement_windows": 0}, "../agreement_windows", "at least 1"),
        ({"metric": "luck", "at_most": 1.0}, {}, "/0/metric", "must be perplexity, kl_divergence"),
        ({"metric": "perplexity"}, {}, "/0", "exactly one bound"),
        ({"metric": "perplexity", "at_least": 3.0}, {}, "/0/at_least", "use at_most or at_most_increase"),
        (RATIO | {"judge_by": "mood"}, {}, "/0/judge_by", "'interval' or 'mean'"),
        (RATIO | {"dataset": "wiki"}, {}, "/0/dataset", "unknown data set"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused_at_its_field(
    require: dict[str, Any], evaluation: dict[str, Any], pointer: str, detail: str
) -> None:
    given = body(require, **evaluation)
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(given)
    [error] = errors_of(refused.value, given)
    where = f"/evaluation{pointer[2:]}" if pointer.startswith("..") else f"/evaluation/require{pointer}"
    assert (error["pointer"], detail in error["detail"]) == (where, True), error


def test_a_stored_job_with_gates_repeats_it() -> None:
    spec = JobSpec.model_validate(body(RATIO, {"metric": "top1_agreement", "at_least": 0.6, "judge_by": "mean"}))
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert [gate.dataset for gate in spec.evaluation.gates] == [DATASET, DATASET]


@pytest.mark.parametrize(
    ("gate", "increase", "half_width", "value", "passed"),
    [
        (RATIO, 0.2, 0.01, math.expm1(0.21), True),
        (RATIO, 0.26, 0.01, math.expm1(0.27), False),
        (RATIO | {"judge_by": "mean"}, 0.26, 0.01, math.expm1(0.26), True),
        ({"at_most": 15.0}, 0.2, 0.0, 12.0 * math.exp(0.2), True),
        ({"metric": "kl_divergence", "at_most": 0.1, "judge_by": "mean"}, 0.2, 0.0, 0.1, True),
        ({"metric": "kl_divergence", "at_most": 0.1}, 0.2, 0.0, 0.1 + 1.96 * 0.001, False),
        ({"metric": "top1_agreement", "at_least": 0.8}, 0.2, 0.0, 0.8 - 1.96 * 0.001, False),
    ],
)
def test_a_gate_is_judged_by_the_far_end_of_the_interval_or_by_the_value(
    gate: dict[str, Any], increase: float, half_width: float, value: float, passed: bool
) -> None:
    found = outcome(gate, increase, half_width)
    assert found["value"] == pytest.approx(value)
    assert found["passed"] is passed
    assert gate_text(found).startswith("passed" if passed else "missed")


def test_a_gate_whose_metric_is_missing_has_not_passed() -> None:
    gate = {"metric": "task:arc_easy", "at_least": 0.1}
    found = outcome(gate, pruned={"tasks": []})
    assert (found["passed"], found["value"]) == (False, None)
    assert "did not measure arc_easy" in gate_text(found)


def test_an_increase_beyond_all_numbers_has_not_passed() -> None:
    gate = Gate.model_validate({"dataset": DATASET, **RATIO})
    metrics = metrics_of(JobSpec.model_validate(TEMPLATE), 0.2)
    metrics["pruned"]["perplexity"][0]["loss_difference"] = {"mean": 700.0, "standard_error": 100.0, "ci95": [600.0, 800.0]}
    [result] = judged([gate], metrics)
    assert (result.passed, result.reason) == (False, "the increase of the perplexity is too large for a number")


_BOUNDS = st.one_of(
    st.builds(lambda bound: {"at_most": bound}, st.floats(1.0, 40.0)),
    st.builds(lambda bound: {"at_most_increase": bound}, st.floats(0.01, 2.0)),
    st.builds(lambda bound: {"metric": "kl_divergence", "at_most": bound}, st.floats(0.01, 1.0)),
    st.builds(lambda bound: {"metric": "top1_agreement", "at_least": bound}, st.floats(0.0, 0.99)),
)


@given(bound=_BOUNDS, increase=st.floats(0.001, 0.9), half_width=st.floats(0, 0.1), by_interval=st.booleans())
def test_gates_and_searches_agree(bound: dict[str, Any], increase: float, half_width: float, by_interval: bool) -> None:
    """Except for rounding at the bound itself."""
    gate = Gate.model_validate({"dataset": DATASET, **bound, "judge_by": "interval" if by_interval else "mean"})
    metrics = metrics_of(JobSpec.model_validate(TEMPLATE), increase, half_width=half_width)
    gap = gap_to(Target.model_validate({"dataset": DATASET, **bound}), metrics, by_interval=by_interval)
    [result] = judged([gate], metrics)
    assert result.passed is (gap <= 0) or abs(gap) < 1e-9
