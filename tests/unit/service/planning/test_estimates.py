"""Estimates of time, held against times that are known."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.states import Stage
from service.contract.work import Work
from service.jobs.timings.repository import Taken
from service.planning.estimates import Estimator, Running, estimator, seconds_left, starts_in

WORK = Work(parameters=1000, block_parameters=800, calibration_tokens=100, evaluated_tokens=50, bytes=2000)
TAKEN = Taken("swaps", 2, 40.0, 2 * 800 * 100, 20.0, 2 * 800, 30.0, 2 * 1000 * 50, 10.0, 2 * 2000)


def rates_of(*taken: Taken, kind: str = "swaps") -> Estimator:
    found = estimator(taken, kind)
    assert found is not None
    return found


RATES = rates_of(TAKEN)


def running(stage: Stage | None, **facts: float | None) -> Running:
    return replace(Running(stage, elapsed=5.0, stage_left=None, updated_ago=0.0, work=WORK), **facts)  # type: ignore[arg-type]


def test_an_equal_job_is_estimated_at_its_past_duration() -> None:
    assert RATES.run(WORK) == pytest.approx((40 + 20 + 30 + 10) / 2)
    assert RATES.mean_seconds == 50


def test_a_job_with_twice_the_tokens_takes_longer() -> None:
    twice = WORK.model_copy(update={"calibration_tokens": 200})
    assert RATES.run(twice) == pytest.approx(50 + 20)


def test_other_recipes_are_used_only_without_runs_of_the_kind() -> None:
    slower = replace(TAKEN, recipe="admm", token_seconds=400.0)
    both = rates_of(TAKEN, slower)
    assert (both.is_same_recipe, both.jobs) == (True, 2)
    assert both.pruning(WORK) == pytest.approx(30)
    other = rates_of(TAKEN, kind="dsnot")
    assert (other.is_same_recipe, other.jobs) == (False, 2)


def test_without_runs_there_is_no_estimate() -> None:
    assert estimator([], "swaps") is None
    assert seconds_left(running(Stage.PRUNING), None) is None
    never_evaluated = rates_of(replace(TAKEN, evaluating_seconds=0.0, evaluated=0.0))
    assert never_evaluated.run(WORK) is None
    assert never_evaluated.run(WORK.model_copy(update={"evaluated_tokens": 0})) == pytest.approx(35)


def test_the_remaining_time_sums_the_stages_to_come() -> None:
    assert seconds_left(replace(running(Stage.RESOLVING), work=None), RATES) == pytest.approx(45)
    assert seconds_left(running(None), RATES) == pytest.approx(45)
    assert seconds_left(running(Stage.PRUNING, stage_left=12.0, updated_ago=2.0), RATES) == pytest.approx(10 + 15 + 2.5)
    assert seconds_left(running(Stage.EVALUATING, stage_left=6.0), RATES) == pytest.approx(6 + 2.5)
    assert seconds_left(running(Stage.PUBLISHING, stage_left=1.0), RATES) == pytest.approx(1)
    assert seconds_left(running(Stage.PRUNING, updated_ago=4.0), RATES) == pytest.approx(30 - 4 + 15 + 2.5)
    assert seconds_left(running(Stage.PRUNING, stage_left=1.0, updated_ago=60.0), RATES) == pytest.approx(15 + 2.5)


def test_the_start_is_unknown_without_workers_or_known_queue() -> None:
    assert starts_in(idle=0, busy=[], ahead=0, mean_seconds=1) is None
    assert starts_in(idle=0, busy=[3.0, None], ahead=0, mean_seconds=1) is None
    assert starts_in(idle=1, busy=[], ahead=1, mean_seconds=None) is None
    assert starts_in(idle=2, busy=[None], ahead=1, mean_seconds=None) == 0


@given(
    st.integers(0, 3), st.lists(st.integers(0, 50), max_size=3), st.integers(0, 12), st.integers(1, 20)
)  # whole seconds, so that time can be walked through
def test_the_queue_estimate_matches_a_simulated_clock(idle: int, busy: list[int], ahead: int, mean: int) -> None:
    workers = [0] * idle + busy
    told = starts_in(idle=idle, busy=[float(seconds) for seconds in busy], ahead=ahead, mean_seconds=float(mean))
    if not workers:
        assert told is None
        return
    waiting, second = ahead, 0
    while True:
        for place, until in enumerate(workers):
            if until <= second:
                if not waiting:
                    assert told == second
                    return
                waiting -= 1
                workers[place] = second + mean
        second += 1
