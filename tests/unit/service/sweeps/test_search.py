"""Searches on simulated curves: what they answer, and how many points they take."""

import math
from collections.abc import Callable
from random import Random
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.sweeps import SearchEnd, SweepSpec
from service.sweeps.candidates import PATTERN, PRESET, candidates, gap_to
from service.sweeps.points import job_spec
from service.sweeps.search import bracket, end_of, gap, next_candidate
from service.sweeps.searching import Measured, Progress, progress
from tests.support.sweep_points import SEARCH, metrics_of

X = [round(0.3 + 0.01 * step, 2) for step in range(51)]
Curve = Callable[[int], float]


def search(damage: Curve, bound: float, *, max_points: int = 8, count: int = len(X)) -> tuple[dict[int, float], SearchEnd]:
    """The gaps in the order of measurement, and the end."""
    gaps: dict[int, float] = {}
    while (end := end_of(gaps, count, max_points=max_points)) is None:
        index = next_candidate(X[:count], gaps, start=(count - 1) // 2, slope=8.0, left=max_points - len(gaps))
        assert index is not None, "a search without an end has a next point"
        assert index not in gaps, "no candidate is measured twice"
        assert 0 <= index < count
        gaps[index] = gap(damage(index), bound)
    return gaps, end


def holds(gaps: dict[int, float], end: SearchEnd, count: int) -> None:
    """The end agrees with the measurements, and the answer, if there is one, meets the target."""
    found = bracket(gaps)
    if found.low is not None:
        assert gaps[found.low] <= 0
        assert all(r > 0 for index, r in gaps.items() if index > found.low)
    match end:
        case SearchEnd.ALL_MEET:
            assert found.low == count - 1
        case SearchEnd.NONE_MEETS:
            assert found.low is None
            assert 0 in gaps
        case SearchEnd.FOUND:
            assert found.low is not None
            assert gaps[found.low + 1] > 0
        case SearchEnd.POINTS_SPENT:
            assert found.low != count - 1


_DAMAGES = st.lists(st.floats(-1, 100, allow_nan=False), min_size=2, max_size=len(X))


@given(damages=_DAMAGES, bound=st.floats(0, 50), max_points=st.integers(2, 16))
def test_whatever_the_curve_an_answer_meets_the_target(damages: list[float], bound: float, max_points: int) -> None:
    gaps, end = search(damages.__getitem__, bound, max_points=max_points, count=len(damages))
    assert len(gaps) <= max_points
    holds(gaps, end, len(damages))


@given(damages=_DAMAGES.map(sorted), bound=st.floats(0, 50))
def test_on_a_monotone_curve_the_answer_is_the_last_that_meets_the_target(damages: list[float], bound: float) -> None:
    gaps, end = search(damages.__getitem__, bound, max_points=len(damages), count=len(damages))
    holds(gaps, end, len(damages))
    expected = max((index for index, damage in enumerate(damages) if gap(damage, bound) <= 0), default=None)
    assert end is not SearchEnd.POINTS_SPENT
    assert bracket(gaps).low == expected


def test_curves_like_those_of_models_take_about_four_points() -> None:
    """Damage grows by a factor of 30 to 1000 over the range, bent and with noise."""
    random = Random(0)
    counts = []
    for _ in range(500):
        steepness, bend, bound = random.uniform(7, 14), random.uniform(-1.5, 1.5), random.uniform(0.01, 3)
        noise = [random.uniform(-0.004, 0.004) for _ in X]
        damages = [
            0.4 * math.exp(steepness * (x - 0.55) + bend * (x - 0.55) * abs(x - 0.55) + n) for x, n in zip(X, noise, strict=True)
        ]
        gaps, end = search(damages.__getitem__, bound)
        holds(gaps, end, len(X))
        assert end is not SearchEnd.POINTS_SPENT
        counts.append(len(gaps))
    assert mean(counts) < 4.2


@pytest.mark.parametrize(
    ("damage", "end"),
    [
        (lambda _: 0.1, SearchEnd.ALL_MEET),
        (lambda _: 9.0, SearchEnd.NONE_MEETS),
        (lambda _: -1.0, SearchEnd.ALL_MEET),
        (lambda index: 0.01 if index < 25 else 50.0, SearchEnd.FOUND),
        (lambda index: 0.001 if index < 33 else 1.01, SearchEnd.FOUND),
    ],
)
def test_flat_curves_and_jumps(damage: Curve, end: SearchEnd) -> None:
    gaps, found = search(damage, 1.0)
    assert found is end
    holds(gaps, found, len(X))


@given(jump=st.integers(1, len(X) - 1), below=st.floats(1e-6, 1.0), above=st.floats(1.001, 1e6))
def test_ten_points_find_any_jump(jump: int, below: float, above: float) -> None:
    gaps, end = search(lambda index: below if index < jump else above, 1.0, max_points=10)
    assert end is SearchEnd.FOUND
    assert bracket(gaps).low == jump - 1


def test_too_few_points_leave_a_bracket() -> None:
    gaps, end = search(lambda index: 0.5 if index < 33 else 2.0, 1.0, max_points=3)
    assert end is SearchEnd.POINTS_SPENT
    found = bracket(gaps)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 33 <= found.high


def sweep(**body: Any) -> SweepSpec:
    return SweepSpec.model_validate(SEARCH | {"target": {"dataset": "wiki-sample", "at_most_increase": 0.3}} | body)


def run(spec: SweepSpec, loss: Callable[[float, str | None], float]) -> tuple[list[Measured], Progress]:
    """The points of a search whose jobs measure `loss(sparsity, preset)`, and its last progress."""
    measured: list[Measured] = []
    while (found := progress(spec, measured)).next_values is not None:
        job = job_spec(spec.template, found.next_values)
        metrics = metrics_of(job, loss(job.recipe.pattern.pruned_share, job.recipe.preset))
        measured.append(Measured(len(measured), found.next_values, metrics))
    return measured, found


@given(
    max_points=st.integers(2, 16),
    shift=st.floats(-0.4, 0.4),
    better=st.floats(0.5, 2.0),
    steepness=st.floats(1, 12),
)
def test_a_preset_tried_first_never_gives_the_answer_nor_more_points(
    max_points: int, shift: float, better: float, steepness: float
) -> None:
    spec = sweep(try_first="fast", max_points=max_points)

    def loss(sparsity: float, preset: str | None) -> float:
        return (1.0 if preset == "fast" else 1 / better) * math.exp(steepness * (sparsity - 0.55 + shift))

    measured, found = run(spec, loss)
    assert found.end is not None
    assert len(measured) <= max_points
    assert any(PRESET not in each.values for each in measured)
    if found.bracket.low is not None:
        answer = measured[found.positions[found.bracket.low]]
        assert PRESET not in answer.values
        assert loss(answer.values[PATTERN]["sparsity"], "best") <= math.log(1.3)


def test_every_prefix_of_a_search_gives_the_same_next_point() -> None:
    spec = sweep()
    measured, _ = run(spec, lambda sparsity, _: 0.25 * math.exp(9 * (sparsity - 0.5)))
    for count, each in enumerate(measured):
        assert progress(spec, measured[:count]).next_values == each.values


def test_a_miss_below_the_answer_is_told() -> None:
    spec = sweep(max_points=16)
    _, found = run(spec, lambda sparsity, _: 9.0 if abs(sparsity - 0.55) < 0.001 or sparsity > 0.7 else 0.01)
    _, plain = run(spec, lambda sparsity, _: 9.0 if sparsity > 0.7 else 0.01)
    assert plain.is_monotone
    assert found.bracket.low is not None
    assert found.is_monotone == (found.candidates[found.bracket.low].x < 0.55)


def test_candidates_run_from_safe_to_ambitious() -> None:
    shares = candidates(sweep(over={"sparsity": [0.5, 0.625], "step": 0.05}).over)  # type: ignore[arg-type]
    assert [each.x for each in shares] == [0.5, 0.55, 0.6, 0.625]
    patterns = [{"type": "n:m", "n": 1, "m": 4}, {"type": "unstructured", "sparsity": 0.6}, {"type": "n:m", "n": 2, "m": 4}]
    ordered = candidates(sweep(over={"patterns": patterns}).over)  # type: ignore[arg-type]
    assert [each.values[PATTERN].get("n") for each in ordered] == [2, None, 1]
    presets = candidates(sweep(over={"presets": ["fast", "best"]}).over)  # type: ignore[arg-type]
    assert [each.values[PRESET] for each in presets] == ["best", "fast"]


_TASK = {"task": "arc_easy", "few_shot": 0, "samples": 100, "version": None, "harness": "0"}


@pytest.mark.parametrize(
    ("target", "by_interval", "meets"),
    [
        ({"metric": "perplexity", "at_most_increase": 0.3}, False, True),
        ({"metric": "perplexity", "at_most_increase": 0.25}, True, False),
        ({"metric": "perplexity", "at_most": 15.0}, False, True),
        ({"metric": "perplexity", "at_most": 14.0}, False, False),
        ({"metric": "kl_divergence", "at_most": 0.11}, False, True),
        ({"metric": "kl_divergence", "at_most": 0.1005}, True, False),
        ({"metric": "top1_agreement", "at_least": 0.8}, False, True),
        ({"metric": "top1_agreement", "at_least": 0.8}, True, False),
        ({"metric": "task:arc_easy", "at_least": 0.55}, False, True),
        ({"metric": "task:arc_easy", "at_least": 0.55}, True, False),
        ({"metric": "task:arc_easy", "at_most_decrease": 0.05}, False, True),
        ({"metric": "task:arc_easy", "at_most_decrease": 0.03}, False, False),
    ],
)
def test_a_point_is_judged_by_its_metric(target: dict[str, Any], by_interval: bool, meets: bool) -> None:
    spec = sweep(target={"dataset": "wiki-sample", **target} if "task" not in target["metric"] else target)
    metrics = metrics_of(job_spec(spec.template, {}), 0.2, half_width=0.03)
    for model, accuracy in (("dense", 0.6), ("pruned", 0.56)):
        metrics[model]["tasks"] = [_TASK | {"metrics": {"acc": {"value": accuracy, "standard_error": 0.02}}}]
    assert spec.target is not None
    assert (gap_to(spec.target, metrics, by_interval=by_interval) <= 0) == meets
