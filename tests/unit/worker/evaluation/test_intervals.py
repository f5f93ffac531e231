"""Standard errors and intervals, held against printed tables, a computation by hand, and how often they are right."""

import math
import random

import pytest

from worker.evaluation.intervals import Mean, t_quantile
from worker.evaluation.perplexity import LossDifference


@pytest.mark.parametrize(
    ("freedom", "printed"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (11, 2.201), (30, 2.042), (120, 1.980)],
)
def test_quantiles_match_printed_tables(freedom: int, printed: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(printed, abs=0.0005)


def test_quantiles_approach_the_normal_distribution() -> None:
    assert t_quantile(0.975, 20_000) == pytest.approx(1.95996, abs=2e-4)
    assert t_quantile(0.95, 4) == pytest.approx(2.132, abs=0.0005)


def test_standard_error_and_interval_match_a_hand_computation() -> None:
    mean = Mean.of([2.0, 4.0, 9.0])  # deviations -3, -1, 4: variance 26 / 2
    assert mean.value == 5
    assert mean.standard_error == pytest.approx(math.sqrt(13 / 3))
    assert mean.interval == pytest.approx((5 - 4.302653 * math.sqrt(13 / 3), 5 + 4.302653 * math.sqrt(13 / 3)))


def test_a_single_value_has_no_interval() -> None:
    assert Mean.of([3.5]) == Mean(3.5, None, None)


def test_intervals_cover_the_true_mean_in_95_of_100_cases() -> None:
    draw = random.Random(0)
    intervals = [Mean.of([draw.gauss(1.0, 2.0) for _ in range(5)]).interval or (0, 0) for _ in range(4000)]
    held = sum(low < 1.0 < high for low, high in intervals) / 4000
    assert held == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors; 1.96 in the place of 2.776 gives 0.88


def test_differences_are_paired_by_windows() -> None:
    """Windows differ much more from each other than pruning changes any of them."""
    dense = [1.0, 5.0, 9.0]
    found = LossDifference.between(dense, [1.5, 5.25, 9.75])
    assert found.mean == pytest.approx(0.5)
    assert found.standard_error == pytest.approx(0.25 / math.sqrt(3))
    assert found.ci95 is not None
    assert found.ci95[0] < 0.5 < found.ci95[1]
    alone = LossDifference.between([1.0], [1.5])
    assert (alone.mean, alone.standard_error, alone.ci95) == (0.5, None, None)
