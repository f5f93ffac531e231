import pytest
import torch
from torch import Tensor

from tests.support.engine.gram_layers import layer
from worker.engine.methods.swap_gains import FAR, best_anywhere, best_within_groups, correlations


def state(seed: int, *, width: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, b, z (rows, in) and ρ (in, in) of rows half of which is pruned."""
    case = layer(seed, rows=12, width=width, tokens=200)
    size = case.gram.diagonal().sqrt()
    rho = case.gram / size / size[:, None]
    z = case.weight * size / size.mean()
    pruned = torch.rand(z.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    y = 2 * (z * pruned) @ rho
    a = (z.square() + z * y).masked_fill(pruned, FAR)
    b = (z.square() - z * y).masked_fill(~pruned, FAR)
    return a, b, z, rho


def searched(a: Tensor, b: Tensor, z: Tensor, rho: Tensor, group: int) -> Tensor:
    """D of every kept weight, looking at all pairs, in float64."""
    a, b, z, rho = (value.double() for value in (a, b, z, rho))
    change = a[:, :, None] + b[:, None, :] - 2 * z[:, :, None] * z[:, None, :] * rho
    column = torch.arange(z.shape[1])
    change[:, (column[:, None] // group) != (column // group)] = FAR
    return change.amin(dim=2)


@pytest.mark.parametrize("group", [4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_swap_within_groups_matches_brute_force(seed: int, group: int) -> None:
    a, b, z, rho = state(seed)
    found = best_within_groups(a, b, z, group=group, shared=correlations(rho))
    expected = searched(a, b, z, rho, group)
    real = expected < FAR / 2
    assert (found[~real] > FAR / 2).all()
    torch.testing.assert_close(found[real].double(), expected[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_swap_anywhere_is_found_if_one_improves(seed: int) -> None:
    a, b, z, rho = state(seed)
    least = torch.full((len(z), 1), 1e-3)
    found = best_anywhere(a, b, z, least=least, shared=correlations(rho))
    expected = searched(a, b, z, rho, z.shape[1])
    improving = expected < -2e-3
    assert improving.any()
    torch.testing.assert_close(found[improving].double(), expected[improving], rtol=1e-4, atol=1e-4)
    assert (found >= expected - 1e-3).all()  # nothing is promised that no swap gives
