import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.engine.gram_layers import Layer, errors, layer, layers, sizes
from worker.engine.least_squares import least_squares
from worker.engine.patterns import select_pruned


@pytest.mark.parametrize("wanted", [False, True])
def test_every_row_is_the_one_that_a_solver_of_the_whole_problem_finds(wanted: bool) -> None:
    case = layer(0)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    new = least_squares(case.weight, pruned, gram=case.gram, wanted=case.wanted if wanted else None)
    x = case.x.double().numpy()
    targets = np.linalg.solve(case.gram.double().numpy(), case.wanted.double().numpy().T) if wanted else case.weight.double().T
    outputs = x @ np.asarray(targets)  # the same B as that of the outputs themselves
    for row, kept in enumerate((~pruned).numpy()):
        expected = np.linalg.lstsq(x[:, kept], outputs[:, row], rcond=None)[0]
        np.testing.assert_allclose(new[row, kept].numpy(), expected, rtol=1e-3, atol=1e-3)
    assert (new[pruned] == 0).all()


@given(layers, st.sampled_from([0.0, 0.4, 0.95]), st.sampled_from([0.0, 0.01]), st.booleans())
def test_no_row_gets_worse(case: Layer, sparsity: float, damping: float, wanted: bool) -> None:
    pruned = select_pruned(case.weight.abs(), sparsity=sparsity)
    new = least_squares(case.weight, pruned, gram=case.gram, wanted=case.wanted if wanted else None, damping=damping)
    rise = errors(case, new, wanted=wanted) - errors(case, case.weight * ~pruned, wanted=wanted)
    assert (rise <= 1e-6 * sizes(case)).all()
    assert (new[pruned] == 0).all()
    assert new.isfinite().all()


def test_where_nothing_is_pruned_nothing_changes() -> None:
    case = layer(1)
    assert torch.equal(least_squares(case.weight, torch.zeros(6, 16, dtype=torch.bool), gram=case.gram), case.weight)


def test_where_all_of_a_row_is_pruned_nothing_is_left() -> None:
    case = layer(2)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    pruned[3] = True
    new = least_squares(case.weight, pruned, gram=case.gram)
    assert (new[3] == 0).all()
    assert errors(case, new)[:3].sum() < errors(case, case.weight * ~pruned)[:3].sum()


def test_damping_holds_the_weights_where_they_were() -> None:
    case = layer(3)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    moved = [
        float((least_squares(case.weight, pruned, gram=case.gram, damping=damping) - case.weight * ~pruned).norm())
        for damping in (0.0, 0.1, 10.0)
    ]
    assert moved[0] > moved[1] > moved[2] > 0
