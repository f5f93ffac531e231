"""The division of the sparsity among the blocks."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.methods.allocation import SLOPES, SPREAD, arithmetic, outlier_ratio, owl, uniform

SIZES = [100, 100, 300, 200]


def mean(shares: tuple[float, ...]) -> float:
    return sum(share * size for share, size in zip(shares, SIZES, strict=True)) / sum(SIZES)


def test_uniform_gives_every_block_the_same_sparsity() -> None:
    assert uniform(0.3, SIZES) == (0.3,) * 4


@pytest.mark.parametrize("sparsity", [0.0, 0.05, 0.5, 0.7, 0.98])
def test_the_overall_sparsity_is_the_requested_one(sparsity: float) -> None:
    for shares in (owl(sparsity, SIZES, [0.1, 0.2, 0.05, 0.4]), arithmetic(sparsity, SIZES, 0.2)):
        assert mean(shares) == pytest.approx(sparsity)
        assert all(0 <= share < 1 for share in shares)


def test_blocks_with_more_outliers_are_pruned_less() -> None:
    shares = owl(0.6, SIZES, [0.1, 0.2, 0.05, 0.4])
    assert shares[2] > shares[0] > shares[1] > shares[3]
    assert max(shares) - min(shares) == pytest.approx(2 * SPREAD)
    assert owl(0.6, SIZES, [0.1] * 4) == pytest.approx((0.6,) * 4)


def test_deeper_blocks_are_pruned_more_in_equal_steps() -> None:
    shares = arithmetic(0.6, SIZES, 0.15)
    steps = [after - before for before, after in pairwise(shares)]
    assert steps == pytest.approx([0.1] * 3)
    assert arithmetic(0.6, [5], 0.15) == (0.6,)


BLOCKS = st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1, width=32)), min_size=1, max_size=40)


@given(BLOCKS, st.sampled_from([0.0, 0.01, 0.3, 0.6, 0.95, 0.98]), st.sampled_from(SLOPES))
def test_sparsities_are_valid_for_any_blocks(blocks: list[tuple[int, float]], sparsity: float, slope: float) -> None:
    sizes, ratios = [size for size, _ in blocks], [ratio for _, ratio in blocks]
    by_outliers, by_depth = owl(sparsity, sizes, ratios), arithmetic(sparsity, sizes, slope)
    for shares in (by_outliers, by_depth):
        assert sum(share * size for share, size in zip(shares, sizes, strict=True)) / sum(sizes) == pytest.approx(sparsity)
        assert all(-1e-9 <= share <= 0.99 + 1e-9 for share in shares)
    assert max(by_outliers) - min(by_outliers) <= 2 * SPREAD + 1e-9
    assert all(after >= before for before, after in pairwise(by_depth))
    in_order = sorted(zip(ratios, by_outliers, strict=True))
    assert all(after <= before + 1e-9 for (_, before), (_, after) in pairwise(in_order))


def test_sparsities_are_limited_to_the_possible_range() -> None:
    assert owl(0.0, SIZES, [0.1, 0.2, 0.05, 0.4]) == (0.0,) * 4
    shares = arithmetic(0.95, SIZES, 0.2)
    assert max(shares) == pytest.approx(0.99)
    assert owl(0.6, [5], [0.3]) == (0.6,)


def test_outliers_are_counted_against_the_mean_of_the_block() -> None:
    saliencies = [torch.ones(2, 10), torch.ones(3, 10)]
    saliencies[0][0, 0] = 40.0
    saliencies[1][1, 1] = 10.0
    assert outlier_ratio(saliencies) == pytest.approx(2 / 50)  # the mean is 1.96
    saliencies[1][1, 1] = 5.0
    assert outlier_ratio(saliencies) == pytest.approx(1 / 50)
