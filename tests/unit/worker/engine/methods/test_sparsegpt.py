"""OBS: the sweep against one written out, and which weights it prunes."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from service.contract.recipe.pattern import NofM, Unstructured
from tests.support.engine.gram_layers import Layer, errors, layer, layers
from worker.engine.methods.patterns import select_pruned
from worker.engine.methods.sparsegpt import obs_saliency, update_by_obs

DAMPING = 0.01


def hessian(case: Layer) -> Tensor:
    gram = case.gram.double()
    return gram + DAMPING * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)


def swept(case: Layer, pruned: Tensor) -> Tensor:
    """Column by column; the weights to the right of a pruned one are set to where the damped error is least, in float64.

    That is what the formula of optimal brain surgeon comes to when the columns before can no longer be changed.
    """
    h, new = hessian(case), case.weight.double().clone()
    for row in range(len(new)):
        for j in pruned[row].nonzero()[:, 0].tolist():
            right = slice(j + 1, None)
            loss = new[row, j].clone()
            new[row, j] = 0
            if j + 1 < len(h):
                new[row, right] += torch.linalg.solve(h[right, right], h[right, j] * loss)
    return new


@pytest.mark.parametrize("block", [4, 16, 128])
@pytest.mark.parametrize("seed", range(3))
def test_a_given_mask_matches_an_explicit_sweep(seed: int, block: int) -> None:
    case = layer(seed)
    pruned = select_pruned(case.weight.abs(), sparsity=0.5)
    new, mask = update_by_obs(case.weight, case.gram, pruned=pruned, block=block, damping=DAMPING)
    assert torch.equal(mask, pruned)
    assert (new[pruned] == 0).all()
    torch.testing.assert_close(new.double(), swept(case, pruned), rtol=1e-4, atol=1e-4)
    assert errors(case, new).sum() < errors(case, case.weight * ~pruned).sum()


def test_saliency_is_the_error_after_compensation_to_the_right() -> None:
    case = layer(3, rows=1, width=8)
    h, j = hessian(case), 2
    factor = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    pruned = torch.zeros(1, 8, dtype=torch.bool)
    pruned[0, j] = True
    change = swept(case, pruned) - case.weight.double()
    left = float((change @ h * change).sum())
    assert float(obs_saliency(case.weight.double(), factor.diagonal())[0, j]) == pytest.approx(left, rel=1e-6)


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.5, 0.7, 0.9])
def test_rows_share_one_threshold_and_the_count_is_exact(sparsity: float) -> None:
    case = layer(4, rows=10, width=24)
    new, mask = update_by_obs(case.weight, case.gram, pattern=Unstructured(sparsity=sparsity), block=8, damping=DAMPING)
    assert int(mask.sum()) == int(Fraction(str(sparsity)) * mask.numel())
    assert torch.equal(new == 0, mask)
    if sparsity == 0.5:
        assert len(set(mask.sum(dim=1).tolist())) > 1


def test_a_single_block_prunes_the_smallest_initial_saliency() -> None:
    case = layer(5, rows=10, width=24)
    _, mask = update_by_obs(case.weight, case.gram, pattern=Unstructured(), block=128, damping=DAMPING)
    factor = torch.linalg.cholesky(torch.linalg.inv(hessian(case)), upper=True)
    saliency = obs_saliency(case.weight.double(), factor.diagonal())
    assert saliency[mask].max() < saliency[~mask].min()


@pytest.mark.parametrize("pattern", [(2, 4), (4, 8), (1, 4)])
def test_groups_are_selected_during_the_sweep(pattern: tuple[int, int]) -> None:
    case, (n, m) = layer(6, rows=12, width=24), pattern
    new, mask = update_by_obs(case.weight, case.gram, pattern=NofM(type="n:m", n=n, m=m), damping=DAMPING)
    assert ((~mask).reshape(-1, m).sum(dim=1) == n).all()
    assert (new[mask] == 0).all()
    beforehand, _ = update_by_obs(
        case.weight, case.gram, pruned=select_pruned(case.weight.abs() * case.gram.diagonal().sqrt(), pattern=pattern)
    )
    assert errors(case, new).sum() < errors(case, beforehand).sum()


def test_always_zero_inputs_are_pruned_first() -> None:
    case = layer(7, dead=4)
    _, mask = update_by_obs(case.weight, case.gram, pattern=Unstructured(), damping=DAMPING)
    assert mask[:, ~case.live].all()


@given(layers, st.sampled_from([0.0, 0.1, 0.33, 0.9, (2, 4), (1, 4)]), st.sampled_from([4, 128]), st.sampled_from([0.0, 0.01]))
def test_results_are_finite_with_the_requested_counts(
    case: Layer, choice: float | tuple[int, int], block: int, damping: float
) -> None:
    weight, gram = case.weight.clone(), case.gram.clone()
    pattern = NofM(type="n:m", n=choice[0], m=4) if isinstance(choice, tuple) else Unstructured(sparsity=choice)
    new, mask = update_by_obs(case.weight, case.gram, pattern=pattern, block=block, damping=damping)
    assert new.isfinite().all()
    assert (new[mask] == 0).all()
    if isinstance(choice, tuple):
        assert ((~mask).reshape(-1, 4).sum(dim=1) == choice[0]).all()
    else:
        assert int(mask.sum()) == int(choice * mask.numel())
    assert torch.equal(case.weight, weight)
    assert torch.equal(case.gram, gram)


@pytest.mark.parametrize("tokens", [1, 6])
def test_a_singular_gram_gives_finite_results(tokens: int) -> None:
    case = layer(8, tokens=tokens)
    new, _ = update_by_obs(case.weight, case.gram, pattern=Unstructured(), damping=0.0)
    assert new.isfinite().all()


def test_exactly_one_mask_option_is_required() -> None:
    case = layer(9)
    with pytest.raises(ValueError, match="exactly one"):
        update_by_obs(case.weight, case.gram)
    with pytest.raises(ValueError, match="exactly one"):
        update_by_obs(case.weight, case.gram, pattern=Unstructured(), pruned=torch.zeros_like(case.weight, dtype=torch.bool))
