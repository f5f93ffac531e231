"""Time left of a running job."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.states import Stage
from service.contract.work import Work
from service.planning.estimates import Estimator, estimator
from service.planning.remaining import OwnBlocks, Running, seconds_left
from tests.unit.service.planning.test_estimates import LARGE, run_of

RUN = run_of(LARGE)
KNOWN, UNKNOWN = estimator([RUN], "swaps"), estimator([], "swaps")
AFTER = RUN.evaluating_seconds + 0.3 * RUN.fixed_seconds
RUNNING = Running(Stage.PRUNING, elapsed=9.0, stage_elapsed=4.0, stage_left=None, updated_ago=0.0, work=LARGE)


def left(running: Running, rates: Estimator = KNOWN) -> float:
    found = seconds_left(running, rates)
    assert found is not None
    return found.value


def test_before_pruning_the_past_run_is_shortened_by_the_time_since_the_claim() -> None:
    assert left(replace(RUNNING, stage=None)) == pytest.approx(RUN.seconds - 9)
    assert left(replace(RUNNING, stage=Stage.LOADING)) == pytest.approx(RUN.seconds - 9)


def test_until_two_blocks_are_done_pruning_is_estimated_from_past_runs() -> None:
    one = replace(RUNNING, own=OwnBlocks(1, seconds=100.0, left=29))
    for running in (RUNNING, one):
        assert left(running) == pytest.approx(RUN.pruning_seconds - 4 + AFTER)
        assert seconds_left(running, UNKNOWN) is None


@given(st.integers(2, 28), st.floats(0.01, 1000))
def test_from_two_blocks_on_pruning_is_estimated_from_them(finished: int, seconds: float) -> None:
    own = replace(RUNNING, own=OwnBlocks(finished, seconds, left=30 - finished))
    assert left(own) >= seconds * (30 - finished)
    assert seconds_left(own, UNKNOWN) is not None


def test_a_run_slower_than_its_past_is_expected_to_evaluate_more_slowly_too() -> None:
    usual = RUN.pruning_seconds / 30
    slow, fast = (replace(RUNNING, own=OwnBlocks(3, factor * usual, left=0)) for factor in (4.0, 1.0))
    assert left(fast) == pytest.approx(AFTER)
    assert left(slow) == pytest.approx(2 * RUN.evaluating_seconds + 0.3 * RUN.fixed_seconds)


def test_the_time_since_the_last_report_has_passed_but_nothing_becomes_negative() -> None:
    own = replace(RUNNING, own=OwnBlocks(2, 10.0, left=1))
    assert left(replace(own, updated_ago=4.0)) == pytest.approx(left(own) - 4)
    assert left(replace(own, updated_ago=4000.0)) == pytest.approx(left(own) - 10)
    in_block = replace(RUNNING, own=OwnBlocks(2, 10.0, left=5, elapsed=7.0))
    assert left(in_block) == pytest.approx(left(replace(RUNNING, own=OwnBlocks(2, 10.0, left=5))) - 7)
    stuck = replace(in_block, updated_ago=4000.0)
    assert left(stuck) == pytest.approx(40 + left(replace(RUNNING, own=OwnBlocks(2, 10.0, left=0))))


def test_evaluation_and_publishing_count_by_their_reports_or_past_runs() -> None:
    evaluating = replace(RUNNING, stage=Stage.EVALUATING, stage_elapsed=0.5)
    assert left(evaluating) == pytest.approx(RUN.evaluating_seconds - 0.5 + 0.3 * RUN.fixed_seconds)
    assert left(replace(evaluating, stage_left=6.0, updated_ago=1.0)) == pytest.approx(5 + 0.3 * RUN.fixed_seconds)
    assert seconds_left(evaluating, UNKNOWN) is None
    assert left(replace(RUNNING, stage=Stage.PUBLISHING, stage_left=1.0)) == pytest.approx(1)


def test_before_the_work_is_known_nothing_is_estimated() -> None:
    assert seconds_left(replace(RUNNING, stage=Stage.RESOLVING, work=None), KNOWN) is None


def test_reports_without_own_blocks_give_none() -> None:
    assert OwnBlocks.of({"done": 3, "total": 4, "unit": "blocks", "eta_seconds": 5.0}) is None
    assert OwnBlocks.of({"done": 3, "total": 4, "own_blocks": 2, "block_seconds": 1.5}) == OwnBlocks(2, 1.5, 1)


def test_work_recorded_without_blocks_leaves_the_evaluation_as_in_the_past() -> None:
    old = replace(RUNNING, work=Work(**LARGE.model_dump(exclude={"blocks"})), own=OwnBlocks(2, 50.0, left=0))
    assert left(old) == pytest.approx(AFTER, rel=0.2)
