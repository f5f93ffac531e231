"""Masks, zeros and checks by the bits of the elements agree with PyTorch's own operators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worker.engine import matrix_bits
from worker.engine.matrix_bits import count_zeros, is_finite, zero_pruned_

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, float("inf"), -float("inf"), float("nan"), 65504.0]
SHAPES = [(1, 1), (7, 5), (64, 48), (3, 8, 6), (0, 4), (11,)]


def tensor(seed: int, dtype: torch.dtype, shape: tuple[int, ...], values: list[float]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(values)[torch.randint(len(values), shape, generator=generator)].to(dtype)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_bits, "_PIECE", 40)


@given(st.integers(0, 2**32), st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.booleans())
def test_pruned_elements_are_plus_zero_and_all_others_keep_their_bits(
    seed: int, dtype: torch.dtype, shape: tuple[int, ...], is_transposed: bool
) -> None:
    made = tensor(seed, dtype, shape, SPECIAL)
    view = made.T if is_transposed and len(shape) == 2 else made
    pruned = tensor(seed + 1, torch.bool, tuple(view.shape), [0.0, 1.0])
    expected = view.masked_fill(pruned, 0)
    assert zero_pruned_(view, pruned) is view
    assert torch.equal(expected.reshape(-1).view(torch.uint8), view.reshape(-1).view(torch.uint8))


@given(st.integers(0, 2**32), st.sampled_from([*DTYPES, torch.int64]), st.sampled_from(SHAPES))
def test_zeros_of_both_signs_are_counted(seed: int, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    values = SPECIAL if dtype.is_floating_point else [0.0, 1.0, -2.0]
    made = tensor(seed, dtype, shape, values)
    assert count_zeros(made) == count_zeros(made.T if len(shape) == 2 else made) == int((made == 0).sum())


@given(st.integers(0, 2**32), st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.sampled_from(SPECIAL))
def test_one_element_that_is_not_finite_is_found(seed: int, dtype: torch.dtype, shape: tuple[int, ...], value: float) -> None:
    made = tensor(seed, dtype, shape, [0.0, -3.0, 65504.0])
    if made.numel():
        made.view(-1)[seed % made.numel()] = value
    assert is_finite(made) == bool(made.isfinite().all())
