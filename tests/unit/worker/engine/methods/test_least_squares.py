"""Least squares: the optimum of every row under its mask."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.contract.engine_sizes import SYSTEMS_BYTES
from tests.support.engine.gram_layers import Layer, errors, layer, layers, sizes
from worker.engine.methods.least_squares import least_squares
from worker.engine.methods.patterns import select_pruned


@pytest.mark.parametrize("target_products", [False, True])
def test_every_row_solves_the_full_least_squares_problem(target_products: bool) -> None:
    case = layer(0)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    new = least_squares(case.weight, pruned, gram=case.gram, target_products=case.target_products if target_products else None)
    x = case.x.double().numpy()
    targets = (
        np.linalg.solve(case.gram.double().numpy(), case.target_products.double().numpy().T)
        if target_products
        else case.weight.double().T
    )
    outputs = x @ np.asarray(targets)  # the same B as that of the outputs themselves
    for row, kept in enumerate((~pruned).numpy()):
        expected = np.linalg.lstsq(x[:, kept], outputs[:, row], rcond=None)[0]
        np.testing.assert_allclose(new[row, kept].numpy(), expected, rtol=1e-3, atol=1e-3)
    assert (new[pruned] == 0).all()


@given(layers, st.sampled_from([0.0, 0.4, 0.95]), st.sampled_from([0.0, 0.01]), st.booleans())
def test_no_row_gets_worse(case: Layer, sparsity: float, damping: float, target_products: bool) -> None:
    pruned = select_pruned(case.weight.abs(), sparsity=sparsity)
    new = least_squares(
        case.weight, pruned, gram=case.gram, target_products=case.target_products if target_products else None, damping=damping
    )
    rise = errors(case, new, target_products=target_products) - errors(
        case, case.weight * ~pruned, target_products=target_products
    )
    assert (rise <= 1e-6 * sizes(case)).all()
    assert (new[pruned] == 0).all()
    assert new.isfinite().all()


def test_without_pruned_weights_nothing_changes() -> None:
    case = layer(1)
    assert torch.equal(least_squares(case.weight, torch.zeros(6, 16, dtype=torch.bool), gram=case.gram), case.weight)


def test_a_fully_pruned_row_stays_zero() -> None:
    case = layer(2)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    pruned[3] = True
    new = least_squares(case.weight, pruned, gram=case.gram)
    assert (new[3] == 0).all()
    assert errors(case, new)[:3].sum() < errors(case, case.weight * ~pruned)[:3].sum()


def test_damping_keeps_the_weights_near_their_values() -> None:
    case = layer(3)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    moved = [
        float((least_squares(case.weight, pruned, gram=case.gram, damping=damping) - case.weight * ~pruned).norm())
        for damping in (0.0, 0.1, 10.0)
    ]
    assert moved[0] > moved[1] > moved[2] > 0


@pytest.mark.parametrize("target_products", [False, True])
def test_the_gradient_of_the_kept_weights_is_zero(target_products: bool) -> None:
    case = layer(4)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    new = least_squares(
        case.weight, pruned, gram=case.gram, target_products=case.target_products if target_products else None
    ).double()
    target = case.target_products.double() if target_products else case.weight.double() @ case.gram.double()
    slope = (new @ case.gram.double() - target) * ~pruned
    assert (slope.norm(dim=1) < 1e-4 * target.norm(dim=1)).all()


@pytest.mark.parametrize("width", [16, 24])
@pytest.mark.parametrize("tokens", [1, 4])
def test_with_undetermined_inputs_weights_stay_near(tokens: int, width: int) -> None:
    """With fewer tokens than kept inputs, many weights give the same outputs; rounding must not choose among them."""
    for seed in range(30):
        case = layer(seed, width=width, tokens=tokens)
        pruned = select_pruned(case.weight.abs(), sparsity=0.5)
        found, x = least_squares(case.weight, pruned, gram=case.gram).double(), case.x.double()
        for weight, new, kept in zip(case.weight.double(), found, ~pruned, strict=True):
            least = torch.linalg.pinv(x[:, kept]) @ (x[:, ~kept] @ weight[~kept])  # the smallest change that makes up for all
            assert (new - weight)[kept].norm() < 1.1 * least.norm() + 0.05 * weight.norm()


def test_a_nonfinite_row_keeps_its_masked_weights() -> None:
    case = layer(7)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    target_products = case.target_products.clone()
    target_products[2] = torch.nan
    new = least_squares(case.weight, pruned, gram=case.gram, target_products=target_products)
    expected = least_squares(case.weight, pruned, gram=case.gram, target_products=case.target_products)
    expected[2] = (case.weight * ~pruned)[2]
    torch.testing.assert_close(new, expected)


def test_the_scale_of_the_gram_matrix_does_not_matter() -> None:
    case = layer(5)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    for scale in (1e-8, 1e8):
        new = least_squares(
            case.weight, pruned, gram=case.gram * scale, target_products=case.target_products * scale, damping=0.01
        )
        expected = least_squares(case.weight, pruned, gram=case.gram, target_products=case.target_products, damping=0.01)
        torch.testing.assert_close(new, expected, rtol=1e-4, atol=1e-4)


def test_the_size_of_the_chunks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    case = layer(6, rows=30, width=32)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    whole = least_squares(case.weight, pruned, gram=case.gram)
    monkeypatch.setitem(SYSTEMS_BYTES, "cpu", 7 * 8 * 16**2)
    assert torch.equal(least_squares(case.weight, pruned, gram=case.gram), whole)


def test_nothing_is_changed_in_place() -> None:
    case = layer(6)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    tensors = [case.weight, case.gram, case.target_products, pruned]
    copies = [tensor.clone() for tensor in tensors]
    least_squares(case.weight, pruned, gram=case.gram, target_products=case.target_products)
    assert all(torch.equal(*pair) for pair in zip(tensors, copies, strict=True))
