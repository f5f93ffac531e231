"""Saliencies against their formulas."""

import numpy as np
import torch

from service.contract.recipe.choices import Criterion
from worker.engine.methods.saliency import SALIENCIES

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
NORM = torch.rand(6, generator=torch.Generator().manual_seed(1))


def test_every_criterion_per_single_input_has_a_saliency() -> None:
    assert set(SALIENCIES) == set(Criterion) - {Criterion.OBS}


def test_ria_weights_are_relative_to_row_and_column_sums() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 1.0]])
    expected = [[(1 / 4 + 1 / 1) * 2, (3 / 4 + 3 / 4) * 3], [0.0, (1 / 1 + 1 / 4) * 3]]
    np.testing.assert_allclose(SALIENCIES[Criterion.RIA](weight, torch.tensor([4.0, 9.0])), expected, rtol=1e-6)
    assert SALIENCIES[Criterion.RIA](torch.zeros(2, 2), torch.ones(2)).isfinite().all()


def test_wanda_is_the_magnitude_times_the_input_norm() -> None:
    np.testing.assert_array_equal(SALIENCIES[Criterion.MAGNITUDE](WEIGHT, NORM), np.abs(WEIGHT.numpy()))
    expected = [[abs(float(w)) * float(x) for w, x in zip(row, NORM, strict=True)] for row in WEIGHT]
    np.testing.assert_allclose(SALIENCIES[Criterion.WANDA](WEIGHT, NORM), expected, rtol=1e-6)
