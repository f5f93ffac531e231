"""Least squares: the weights that minimise the reconstruction error on the calibration inputs under a given mask.

Paper: Boža, arXiv:2401.02938 (the problem).

Axes:    W, B, masks (out, in); G (in, in); one number per row (rows, 1).
Symbols: G   = Σ x xᵀ over tokens, x the inputs of the pruned layer
         B   = Σ y xᵀ over tokens, y the target outputs. W G if the targets are the layer's own outputs on the same
             inputs; other targets (the dense model's, for example) give another B
         S   the kept weights of a row;  P the pruned ones;  a subscript S restricts to them
         ŵ   solves G_SS ŵ_S = B_S, ŵ_P = 0: the minimum of Σ (y − ŵx)²
         δ   = ŵ − w on S, from G_SS δ = (B − w_S G)_S. The system is solved for δ and always slightly damped, so that w
             stays where G is singular

Every row has its own system, of the size of its kept weights: exact, but slow for many inputs, O(out · in³).
No row's error exceeds that of its masked weights.
"""

import torch
from torch import Tensor

from service.contract.engine_sizes import SYSTEMS_BYTES

LEAST_DAMPING = 2.0**-18  # share of the mean diagonal below which float32 sums are rounding errors


def least_squares(
    weight: Tensor, pruned: Tensor, *, gram: Tensor, target_products: Tensor | None = None, damping: float = 0.0
) -> Tensor:
    """Return the optimal weights for a mask, (out, in) float32, zero where pruned; each row solves its own system.

    Args:
        weight: (out, in) float32.
        pruned: (out, in) bool, True = pruned.
        gram: G, (in, in) float32.
        target_products: B, (out, in) float32 on the scale of G; None stands for W G.
        damping: share of the mean diagonal of G that penalises changes of the weights; raised to `LEAST_DAMPING`.
    """
    gram = gram.double()
    start, owed = _start(weight, pruned, gram, target_products)
    change = torch.zeros_like(start)
    size = 8 * int((~pruned).sum(dim=1).max()) ** 2  # bytes of a system, in float64
    chunk = SYSTEMS_BYTES["cpu" if weight.device.type == "cpu" else "gpu"]
    for rows in torch.split(torch.arange(len(weight), device=weight.device), max(1, chunk // max(1, size))):
        change[rows] = _solved(owed[rows], ~pruned[rows], gram, damping)
    return _never_worse(start, change, owed, gram)


def _start(weight: Tensor, pruned: Tensor, gram: Tensor, target_products: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the masked weights w_S and the right-hand side (B − w_S G)_S, both (out, in) float64."""
    start = (weight * ~pruned).double()
    owed = (weight * pruned).double() @ gram if target_products is None else target_products.double() - start @ gram
    return start, owed * ~pruned


def _solved(owed: Tensor, kept: Tensor, gram: Tensor, damping: float) -> Tensor:
    """Return δ of some rows by Cholesky in float64, (rows, in); the systems of shorter rows get a padded diagonal."""
    longest = max(1, int(kept.sum(dim=1).max()))
    chosen = kept.byte().argsort(dim=1, descending=True, stable=True)[:, :longest]  # S, then some of P
    real = kept.gather(1, chosen)
    system = gram[chosen[:, :, None], chosen[:, None, :]].mul_(real[:, :, None] & real[:, None, :])
    mean = gram.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
    system.diagonal(dim1=1, dim2=2).add_(torch.where(real, max(damping, LEAST_DAMPING) * mean, mean))
    factor, failed = torch.linalg.cholesky_ex(system)
    jitter = LEAST_DAMPING
    while failed.any():
        system.diagonal(dim1=1, dim2=2).add_((failed > 0).double()[:, None] * jitter * mean)
        factor, failed = torch.linalg.cholesky_ex(system)
        jitter *= 10
    right = owed.gather(1, chosen) * real
    solution = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
    return torch.zeros_like(owed).scatter_(1, chosen, solution)


def _never_worse(start: Tensor, change: Tensor, owed: Tensor, gram: Tensor) -> Tensor:
    """Return start + change, rounded to float32, for every row whose error falls, and start for the others.

    The change of the error is computed as δ G δᵀ − 2 δ · owed, because subtracting two large errors would cancel.
    """
    new = (start + change).float()
    rounded = new.double() - start
    rise = ((rounded @ gram - 2 * owed) * rounded).sum(dim=1)
    return torch.where((rise < 0)[:, None], new, start.float())  # NaN is no improvement
