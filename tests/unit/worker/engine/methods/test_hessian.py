"""The damped inverse and its factor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine.gram_layers import Layer, layer, layers
from worker.engine.methods.hessian import inverse, inverse_factor


@pytest.mark.parametrize("damping", [0.01, 0.5])
def test_the_inverse_is_that_of_the_damped_matrix(damping: float) -> None:
    gram = layer(0).gram.double()
    expected = np.linalg.inv((gram + damping * gram.diagonal().mean() * torch.eye(16, dtype=torch.float64)).numpy())
    np.testing.assert_allclose(inverse(gram, damping), expected, rtol=1e-9, atol=1e-12)


def test_the_factor_is_upper_triangular_and_gives_the_inverse() -> None:
    gram = layer(1).gram.double()
    factor = inverse_factor(gram, 0.01)
    assert torch.equal(factor, factor.triu())
    torch.testing.assert_close(factor.T @ factor, inverse(gram, 0.01))


def test_an_always_zero_input_is_isolated() -> None:
    case = layer(2, dead=3)
    live = case.live
    found = inverse(case.gram.double(), 0.01)
    mean = case.gram.double().diagonal()[live].mean()
    expected = torch.linalg.inv(case.gram.double()[live][:, live] + 0.01 * mean * torch.eye(int(live.sum()), dtype=torch.float64))
    torch.testing.assert_close(found[live][:, live], expected)
    assert (found[live][:, ~live] == 0).all()
    torch.testing.assert_close(found[~live][:, ~live], torch.eye(3, dtype=torch.float64) / (1.01 * mean))


@pytest.mark.parametrize("tokens", [1, 5, 15])
def test_damping_grows_until_a_singular_matrix_is_invertible(tokens: int) -> None:
    gram = layer(3, tokens=tokens).gram
    found = inverse(gram, 0.0)
    assert found.isfinite().all()
    assert torch.linalg.eigvalsh(found.double()).min() > 0


@pytest.mark.parametrize(("asked", "taken"), [(0.0, 0.01), (0.001, 0.01), (0.02, 0.02)])
def test_damping_is_the_smallest_sufficient_power_of_ten(asked: float, taken: float) -> None:
    gram = torch.tensor([[1.0, 1.005], [1.005, 1.0]], dtype=torch.float64)  # the least eigenvalue is −0.005
    expected = torch.linalg.inv(gram + taken * torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(inverse(gram, asked), expected, rtol=1e-6, atol=1e-6)


@given(layers, st.sampled_from([0.0, 0.01, 1.0]), st.sampled_from([1e-8, 1.0, 1e8]))
def test_every_layer_has_a_factor(case: Layer, damping: float, scale: float) -> None:
    gram = case.gram * scale
    factor = inverse_factor(gram, damping)
    assert factor.dtype == gram.dtype
    assert factor.isfinite().all()
    assert torch.equal(factor, factor.triu())
    assert (factor.diagonal() > 0).all()
    beside = factor - factor.diagonal().diag()
    assert (beside[:, ~case.live] == 0).all()
    assert (beside[~case.live] == 0).all()


def test_a_matrix_of_zeros_has_an_inverse() -> None:
    assert inverse(torch.zeros(4, 4), 0.01).isfinite().all()
