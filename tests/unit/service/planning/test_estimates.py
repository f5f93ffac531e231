"""Estimates of run times, held against runs whose times follow a known law."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.work import Work
from service.jobs.timings.repository import PastRun
from service.planning.estimates import REACH, Estimator, Seconds, estimator, mean_seconds

START, PER_BLOCK, PER_PRODUCT, PER_EVALUATED = 8.0, 0.2, 4e-11, 5e-11
"""Law of the runs of these tests: seconds of a run, of a block, per parameter × token pruned, and evaluated."""


def work_of(blocks: int, width: int, tokens: int, evaluated: int = 1024) -> Work:
    parameters = 12 * blocks * width**2
    return Work(
        parameters=parameters,
        block_parameters=parameters,
        calibration_tokens=tokens,
        evaluated_tokens=evaluated,
        bytes=2 * parameters,
        blocks=blocks,
    )


def run_of(work: Work, recipe: str = "swaps", factor: float = 1.0) -> PastRun:
    return PastRun(
        recipe,
        work,
        fixed_seconds=factor * START,
        pruning_seconds=factor * (PER_BLOCK * work.blocks + PER_PRODUCT * work.block_parameters * work.calibration_tokens),
        evaluating_seconds=factor * PER_EVALUATED * work.parameters * work.evaluated_tokens,
    )


def seconds_of(work: Work) -> float:
    return run_of(work).seconds


def run_time(rates: Estimator, work: Work) -> Seconds:
    found = rates.run(work)
    assert found is not None
    return found


SMALL, LARGE = work_of(2, 32, 512), work_of(30, 576, 8192)
works = st.builds(work_of, st.integers(1, 80), st.integers(16, 4096), st.integers(64, 200_000), st.integers(64, 500_000))
runs = st.builds(run_of, works, st.sampled_from(("swaps", "admm")), st.floats(0.2, 5.0))


def grown(work: Work, factors: dict[str, int]) -> Work:
    """More of everything; more blocks are blocks of the same size."""
    factors = factors | {"block_parameters": factors["block_parameters"] * factors["blocks"]}
    return work.model_copy(update={name: getattr(work, name) * factor for name, factor in factors.items()})


@given(st.lists(runs, max_size=8), works, st.fixed_dictionaries(dict.fromkeys(Work.model_fields, st.integers(1, 20))))
def test_more_work_is_never_estimated_to_take_less(history: list[PastRun], work: Work, factors: dict[str, int]) -> None:
    rates, more = estimator(history, "swaps"), grown(work, factors)
    for part in (rates.fixed, rates.pruning, rates.evaluating):
        assert part(more).value >= part(work).value * (1 - 1e-9)


@given(st.lists(runs, min_size=1, max_size=8), works)
def test_an_estimate_lies_within_its_range(history: list[PastRun], work: Work) -> None:
    found = estimator(history, "swaps").run(work)
    if found is not None:
        assert 0 < found.low <= found.value <= found.high


@given(works)
def test_the_job_of_the_only_run_is_estimated_at_its_duration(work: Work) -> None:
    run = run_of(work)
    assert run_time(estimator([run], "swaps"), work).value == pytest.approx(run.seconds)


@given(st.integers(1, 30))
def test_many_tiny_runs_do_not_set_the_rate_of_a_large_one(count: int) -> None:
    tiny = [run_of(work_of(2, 32 + number, 512)) for number in range(count)]
    found = run_time(estimator([*tiny, run_of(LARGE)], "swaps"), work_of(30, 576, 16_384))
    assert found.value == pytest.approx(seconds_of(work_of(30, 576, 16_384)), rel=0.5)


@given(st.integers(10, 10_000))
def test_a_job_out_of_reach_of_every_run_gets_no_estimate(factor: int) -> None:
    rates = estimator([run_of(SMALL), run_of(LARGE)], "swaps")
    assert rates.run(LARGE.model_copy(update={"calibration_tokens": LARGE.calibration_tokens * (factor + 1)})) is None
    assert rates.run(SMALL.model_copy(update={"calibration_tokens": max(1, SMALL.calibration_tokens // (factor + 1))})) is None
    assert rates.run(LARGE.model_copy(update={"evaluated_tokens": LARGE.evaluated_tokens * (factor + 1)})) is None


def test_sizes_are_extrapolated_up_to_the_limit() -> None:
    rates = estimator([run_of(LARGE)], "swaps")
    within = LARGE.model_copy(update={"calibration_tokens": round(LARGE.calibration_tokens * REACH)})
    assert run_time(rates, within).value == pytest.approx(seconds_of(within), rel=0.5)


def test_between_known_sizes_the_law_is_found() -> None:
    history = [run_of(work_of(*each)) for each in ((2, 32, 512), (6, 128, 2048), (12, 384, 4096), (30, 576, 8192))]
    for shape in ((4, 64, 1024), (8, 256, 4096), (24, 512, 8192)):
        found = run_time(estimator(history, "swaps"), work_of(*shape))
        assert found.value == pytest.approx(seconds_of(work_of(*shape)), rel=0.25)


def test_a_run_that_was_held_up_hardly_changes_an_estimate() -> None:
    history = [run_of(work_of(30, 576, tokens)) for tokens in (2048, 4096, 6144, 8192, 16_384)]
    slow = run_of(work_of(30, 576, 8000), factor=8.0)
    calm = run_time(estimator(history, "swaps"), LARGE).value
    assert run_time(estimator([*history, slow], "swaps"), LARGE).value == pytest.approx(calm, rel=0.35)


def test_runs_that_agree_give_a_narrower_range_than_runs_that_differ() -> None:
    near = [run_of(work_of(30, 576, 8192 + 64 * number)) for number in range(5)]
    far = [run_of(run.work, factor=factor) for run, factor in zip(near, (0.5, 0.7, 1.0, 1.6, 2.2), strict=True)]
    agreed, differed = (run_time(estimator(history, "swaps"), LARGE) for history in (near, far))
    assert agreed.high / agreed.low < differed.high / differed.low


def test_other_recipes_are_used_only_without_runs_of_the_kind_and_widen_the_range() -> None:
    history = [run_of(LARGE), run_of(LARGE, "admm", factor=3.0)]
    same, other = estimator(history, "swaps"), estimator(history[:1], "dsnot")
    assert (same.is_same_recipe, same.jobs) == (True, 1)
    assert same.pruning(LARGE).value == pytest.approx(history[0].pruning_seconds)
    assert (other.is_same_recipe, other.jobs) == (False, 1)
    assert other.pruning(LARGE).high > same.pruning(LARGE).high


def test_without_runs_nothing_is_estimated() -> None:
    assert estimator([], "swaps").run(LARGE) is None
    assert mean_seconds([]) is None


def test_evaluation_is_not_estimated_from_runs_without_it() -> None:
    unmeasured = work_of(30, 576, 8192, evaluated=0)
    rates = estimator([run_of(unmeasured)], "swaps")
    assert rates.run(LARGE) is None
    assert run_time(rates, unmeasured).value == pytest.approx(seconds_of(unmeasured))


def test_runs_of_earlier_versions_without_blocks_still_count() -> None:
    old = replace(run_of(LARGE), work=LARGE.model_copy(update={"blocks": 0}))
    assert run_time(estimator([old], "swaps"), LARGE).value == pytest.approx(seconds_of(LARGE), rel=0.5)
