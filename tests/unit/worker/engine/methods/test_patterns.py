"""Masks and parts of masks against a sort of every row or group."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.contract.recipe.pattern import NofM, Pattern, Unstructured
from tests.support.engine import oracles
from worker.engine.methods.patterns import select, select_pruned

SALIENCIES = st.integers(1, 5).flatmap(
    lambda rows: st.lists(
        st.lists(st.integers(0, 6), min_size=24, max_size=24), min_size=rows, max_size=rows
    )  # few values, so that ties abound
)


@given(SALIENCIES, st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.6, 0.999]))
def test_unstructured_matches_a_sort_of_each_row(saliency: list[list[int]], sparsity: float) -> None:
    pruned = select_pruned(torch.tensor(saliency, dtype=torch.float32), sparsity=sparsity)
    np.testing.assert_array_equal(pruned.numpy(), oracles.select_pruned(np.array(saliency, float), sparsity=sparsity))


@pytest.mark.parametrize(
    ("sparsity", "width", "count"), [(0.29, 100, 29), (0.7, 2880, 2016), (0.57, 300, 171), (0.15, 10, 1), (1e-05, 100_000, 1)]
)
def test_each_row_loses_the_floor_of_the_decimal_sparsity_times_its_width(sparsity: float, width: int, count: int) -> None:
    saliency = torch.rand(2, width)
    for pruned in (select_pruned(saliency, sparsity=sparsity), select(saliency, Unstructured(sparsity=sparsity))):
        assert pruned.sum(dim=1).tolist() == [count, count]


@given(SALIENCIES, st.sampled_from([(2, 4), (4, 8), (1, 4), (3, 4), (1, 2), (5, 12)]))
def test_n_of_m_matches_a_sort_of_each_group(saliency: list[list[int]], pattern: tuple[int, int]) -> None:
    pruned = select_pruned(torch.tensor(saliency, dtype=torch.float32), pattern=pattern)
    np.testing.assert_array_equal(pruned.numpy(), oracles.select_pruned(np.array(saliency, float), pattern=pattern))


PATTERNS = st.sampled_from(
    [Unstructured(sparsity=0.29), Unstructured(), *(NofM(type="n:m", n=n, m=m) for n, m in ((2, 4), (1, 4), (5, 12)))]
)


def expected(saliency: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    if isinstance(pattern, Unstructured):
        return select_pruned(saliency, sparsity=pattern.sparsity)
    return select_pruned(saliency, pattern=(pattern.n, pattern.m))


@given(SALIENCIES, PATTERNS, st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0]))
def test_a_part_is_the_least_salient_of_the_final_mask(saliency: list[list[int]], pattern: Pattern, share: float) -> None:
    values = torch.tensor(saliency, dtype=torch.float32)
    part, whole = select(values, pattern, share), expected(values, pattern)
    assert not (part & ~whole).any()
    assert (part.sum(dim=1) == (whole.sum(dim=1) * share).int()).all()
    for row, now, in_the_end in zip(values, part, whole, strict=True):
        if now.any() and (in_the_end & ~now).any():
            assert row[now].max() <= row[in_the_end & ~now].min()


@given(SALIENCIES, PATTERNS)
def test_parts_grow_monotonically_into_the_whole(saliency: list[list[int]], pattern: Pattern) -> None:
    values = torch.tensor(saliency, dtype=torch.float32)
    parts = [select(values, pattern, share) for share in (0.0, 0.2, 0.6, 0.9, 1.0)]
    assert not parts[0].any()
    assert all(not (less & ~more).any() for less, more in pairwise(parts))
    assert torch.equal(parts[-1], expected(values, pattern))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "exactly one"),
        ({"sparsity": 0.5, "pattern": (2, 4)}, "exactly one"),
        ({"sparsity": 1.0}, "below 1"),
        ({"sparsity": -0.1}, "at least 0"),
        ({"pattern": (4, 4)}, "n < m"),
        ({"pattern": (0, 4)}, "n < m"),
        ({"pattern": (2, 5)}, "5 divides"),
    ],
)
def test_a_pattern_that_does_not_divide_is_refused(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_pruned(torch.ones(2, 24), **choice)  # type: ignore[arg-type]
