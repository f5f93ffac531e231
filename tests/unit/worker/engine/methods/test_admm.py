"""ADMM: its limit under a given mask, and masks found along with the weights."""

import pytest
import torch
from hypothesis import given as examples
from hypothesis import strategies as st
from torch import Tensor

from service.contract.recipe.pattern import NofM, Unstructured
from tests.support.engine.gram_layers import PATTERNS, Layer, errors, layer, layers
from worker.engine.methods.admm import admm
from worker.engine.methods.patterns import select, select_pruned
from worker.engine.methods.saliency import wanda


def joint(case: Layer, pattern: tuple[int, int] | None, *, sparsity: float = 0.5, iterations: int = 20) -> tuple[Tensor, Tensor]:
    chosen = NofM(type="n:m", n=pattern[0], m=pattern[1]) if pattern else Unstructured(sparsity=sparsity)

    def part(saliency: Tensor, share: float) -> Tensor:
        return select(saliency, chosen, share)

    dense = case.weight @ case.gram
    return admm(case.weight, gram=case.gram, target_products=dense, select=part, iterations=iterations, damping=0.1)


def given(case: Layer, pruned: Tensor) -> Tensor:
    dense = case.weight @ case.gram
    new, _ = admm(
        case.weight, gram=case.gram, target_products=dense, select=lambda _s, _share: pruned, iterations=20, damping=0.1
    )
    return new


@pytest.mark.parametrize("own", [True, False])
def test_a_given_mask_converges_to_the_damped_optimum(own: bool) -> None:
    case = layer(0)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    target_products = case.weight @ case.gram if own else case.target_products
    new, mask = admm(
        case.weight,
        gram=case.gram,
        target_products=target_products,
        select=lambda _s, _share: pruned,
        iterations=2000,
        damping=0.1,
    )
    assert torch.equal(mask, pruned)
    assert (new[pruned] == 0).all()
    held = 0.1 * case.gram.diagonal().double()  # the damping, in the scale in which the diagonal is 1
    system = case.gram.double() + held.diag()
    right = target_products.double() + case.weight.double() * held
    for row, kept in enumerate(~pruned):
        expected = torch.linalg.solve(system[kept][:, kept], right[row, kept])
        torch.testing.assert_close(new[row, kept].double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_joint_mask_beats_weights_after_the_mask(pattern: tuple[int, int] | None) -> None:
    found = weights_after = 0.0
    for seed in range(8):
        case = layer(seed, rows=16, width=32, tokens=200)
        saliency = wanda(case.weight, case.gram.diagonal().sqrt())
        pruned = select_pruned(saliency, sparsity=None if pattern else 0.5, pattern=pattern)
        new, mask = joint(case, pattern)
        group = pattern[1] if pattern else 32
        assert torch.equal(mask.reshape(-1, group).sum(dim=1), pruned.reshape(-1, group).sum(dim=1))
        assert (new[mask] == 0).all()
        assert errors(case, new).sum() < errors(case, case.weight * ~pruned).sum()
        after = given(case, pruned)
        found += float(errors(case, new).sum())
        weights_after += float(errors(case, after).sum())
    assert found < weights_after


@examples(layers, st.sampled_from(PATTERNS), st.sampled_from([1, 2, 7]))
def test_results_are_finite_with_the_requested_counts(case: Layer, pattern: tuple[int, int] | None, iterations: int) -> None:
    new, mask = joint(case, pattern, iterations=iterations)
    n, m = pattern or (case.weight.shape[1] // 2, case.weight.shape[1])
    assert new.isfinite().all()
    assert ((~mask).reshape(-1, m).sum(dim=1) == n).all()
    assert (new[mask] == 0).all()
    kept_dead = ~mask & ~case.live
    torch.testing.assert_close(new[kept_dead], case.weight[kept_dead])


def test_a_single_iteration_prunes_completely() -> None:
    case = layer(1)
    new, mask = joint(case, (2, 4), iterations=1)
    assert torch.equal(new == 0, mask)
    assert int(mask.sum()) == mask.numel() // 2
