import numpy as np
import torch

from worker.engine.saliency import SALIENCIES, Criterion

WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
NORM = torch.rand(6, generator=torch.Generator().manual_seed(1))


def test_every_criterion_has_a_saliency() -> None:
    assert set(SALIENCIES) == set(Criterion)


def test_magnitude_is_the_absolute_weight_and_wanda_weighs_it_by_its_input() -> None:
    np.testing.assert_array_equal(SALIENCIES[Criterion.MAGNITUDE](WEIGHT, NORM), np.abs(WEIGHT.numpy()))
    expected = [[abs(float(w)) * float(x) for w, x in zip(row, NORM, strict=True)] for row in WEIGHT]
    np.testing.assert_allclose(SALIENCIES[Criterion.WANDA](WEIGHT, NORM), expected, rtol=1e-6)
