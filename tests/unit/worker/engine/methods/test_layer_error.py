import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.methods.layer_error import keep_improvements, row_energies


@given(st.integers(0, 2**32))
def test_both_formulas_give_the_row_energies_of_the_outputs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, matrix = torch.randn(30, 8, generator=generator), torch.randn(5, 8, generator=generator)
    expected = np.array([sum(float(token @ row) ** 2 for token in x.double()) for row in matrix.double()])
    np.testing.assert_allclose(row_energies(matrix, gram=x.T @ x), expected, rtol=1e-4)
    np.testing.assert_allclose(row_energies(matrix, examples=x), expected, rtol=1e-4)


def test_each_row_keeps_its_better_mask_ties_take_the_new_one() -> None:
    before, after = torch.tensor([[True, False]] * 3), torch.tensor([[False, True]] * 3)
    kept, errors = keep_improvements(before, after, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 2.0]))
    assert kept.tolist() == [[True, False], [False, True], [False, True]]
    assert errors.tolist() == [1.0, 2.0, 2.0]
