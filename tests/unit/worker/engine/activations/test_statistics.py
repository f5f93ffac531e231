import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support.strict_device import strict_cuda
from worker.engine.activations.statistics import InputStatistics


def inputs(offset: float = 0.0) -> Tensor:
    """(samples, tokens, in) with means that differ by input and by sample."""
    generator = torch.Generator().manual_seed(3)
    shift = torch.randn(6, 1, 12, generator=generator)
    return torch.randn(6, 20, 12, generator=generator) * torch.rand(12, generator=generator) + shift + offset


def measured(*batches: Tensor) -> InputStatistics:
    statistics = InputStatistics(12, device=torch.device("cpu"), with_gram=True, examples_per_sample=7)
    for batch in batches:
        statistics.add(batch)
    return statistics


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_all_figures_match_numpy_in_double_precision(offset: float) -> None:
    x = inputs(offset)
    flat = x.double().numpy().reshape(-1, 12)
    ours = measured(x)
    np.testing.assert_allclose(ours.mean, flat.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.variance, flat.var(axis=0), rtol=1e-3 if offset else 1e-5)
    np.testing.assert_allclose(ours.within_variance, x.double().numpy().var(axis=1).mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(ours.norm, np.sqrt((flat**2).mean(axis=0)), rtol=1e-5)
    assert ours.gram is not None
    np.testing.assert_allclose(ours.gram, flat.T @ flat, rtol=1e-4, atol=1e-3)
    assert ours.tokens == 120


def test_the_batch_size_changes_no_bit() -> None:
    x = inputs()
    together, apart = measured(x), measured(x[:1], x[1:5], x[5:])
    for name in ("mean", "variance", "within_variance", "norm", "gram", "examples"):
        assert torch.equal(getattr(together, name), getattr(apart, name)), name


def test_examples_are_tokens_of_every_sample() -> None:
    x = inputs()
    examples = measured(x).examples
    assert examples is not None
    assert len(examples) >= 6 * 7 * 0.9
    for sample in x:
        assert any(torch.equal(example, token) for example in examples for token in sample)
    assert all((x == example).all(dim=2).any() for example in examples)


def test_examples_beyond_one_buffer_are_all_kept_in_order() -> None:
    x = torch.arange(3000.0).reshape(50, 60, 1)
    kept = InputStatistics(1, device=torch.device("cpu"), with_gram=False, examples_per_sample=60)
    for sample in x:
        kept.add(sample[None])
    assert kept.examples is not None
    assert torch.equal(kept.examples, x.reshape(3000, 1))


def test_lower_precision_is_accumulated_in_float32_or_better() -> None:
    x = inputs().bfloat16()
    np.testing.assert_allclose(measured(x).mean, x.double().mean(dim=(0, 1)), rtol=1e-5, atol=1e-6)


@given(st.integers(0, 2**32), st.sampled_from([1e-3, 1.0, 1e4]))
def test_products_of_bfloat16_are_exact_in_float32(seed: int, scale: float) -> None:
    x, y = (torch.randn(2, 256, generator=torch.Generator().manual_seed(seed)) * scale).bfloat16()
    assert torch.equal((x.float() * y.float()).double(), x.double() * y.double())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("width", [12, 600])
def test_gram_matrices_of_bfloat16_deviate_by_the_rounding_of_float32_sums(device: str, width: int) -> None:
    """Of n exact products, each summed with a rounding of at most 2⁻²⁴ of the sum of their sizes; a bfloat16 sum has 2⁻⁹."""
    x = (torch.randn(2, 256, width, generator=torch.Generator().manual_seed(5)) + 0.5).bfloat16()
    with strict_cuda() as cuda:
        statistics = InputStatistics(width, device=torch.device(device), with_gram=True, examples_per_sample=0)
        batch = x.to(device)
        before = cuda.memory.allocated[0]
        statistics.add(batch)
        copied = cuda.memory.peak[0] - before
        assert statistics.gram is not None
        found = statistics.gram.cpu()
    flat = x.double().flatten(0, 1)
    bound = len(flat) * 2.0**-24 * (flat.abs().T @ flat.abs())
    assert ((found.double() - flat.T @ flat).abs() <= bound).all()
    assert copied < 1.5 * 256 * max(width, 256) * 4  # deviations of one sample; no float32 copy of the batch
