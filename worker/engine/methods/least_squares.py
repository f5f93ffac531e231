"""Least squares: the weights that, with a given mask, make the smallest error on the calibration inputs.

Paper: Boža, arXiv:2401.02938 (the problem).

Axes:    W, B, masks (out, in); G (in, in); one number per row (rows, 1).
Symbols: G   = Σ x xᵀ over tokens, x the inputs that the pruned layer will see
         B   = Σ y xᵀ over tokens, y the outputs that are wanted. W G if these are the layer's own on the same inputs;
             other y (those of the dense model, say) come as another B
         S   the kept weights of a row;  P the pruned ones;  a subscript S restricts to them
         ŵ   solves G_SS ŵ_S = B_S, ŵ_P = 0: the minimum of Σ (y − ŵx)²
         δ   = ŵ − w on S, from G_SS δ = (B − w_S G)_S. The change is solved for, and always damped a little, so that where G
             cannot tell, w stays

Every row has a system of its own, of the size of what it keeps: exact, and slow where there are many inputs, out · in³.
No row ends worse than its masked weights.
"""

import torch
from torch import Tensor

CHUNK = 1 << 23  # bytes of systems that are factorised at a time
LEAST_DAMPING = 2.0**-18  # share of the mean diagonal below which float32 sums hold nothing but rounding


def least_squares(weight: Tensor, pruned: Tensor, *, gram: Tensor, wanted: Tensor | None = None, damping: float = 0.0) -> Tensor:
    """The best weights for a mask, (out, in) float32, zero where pruned, each row by factorising its own system.

    Args:
        weight: (out, in) float32.
        pruned: (out, in) bool, True = pruned.
        gram: G, (in, in) float32.
        wanted: B, (out, in) float32 on the scale of G; None stands for W G.
        damping: share of the mean diagonal of G that holds the weights where they were; at least `LEAST_DAMPING` is taken.
    """
    gram = gram.double()
    start, owed = _start(weight, pruned, gram, wanted)
    change = torch.zeros_like(start)
    size = 8 * int((~pruned).sum(dim=1).max()) ** 2  # bytes of a system, in float64
    for rows in torch.split(torch.arange(len(weight), device=weight.device), max(1, CHUNK // max(1, size))):
        change[rows] = _solved(owed[rows], ~pruned[rows], gram, damping)
    return _never_worse(start, change, owed, gram)


def _start(weight: Tensor, pruned: Tensor, gram: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
    """The masked weights w_S and what they owe, (B − w_S G)_S; both (out, in) float64."""
    start = (weight * ~pruned).double()
    owed = (weight * pruned).double() @ gram if wanted is None else wanted.double() - start @ gram
    return start, owed * ~pruned


def _solved(owed: Tensor, kept: Tensor, gram: Tensor, damping: float) -> Tensor:
    """δ of some rows by Cholesky in float64, (rows, in). Rows that keep fewer weights are filled up with ones."""
    longest = max(1, int(kept.sum(dim=1).max()))
    chosen = kept.byte().argsort(dim=1, descending=True, stable=True)[:, :longest]  # S, then some of P
    real = kept.gather(1, chosen)
    system = gram[chosen[:, :, None], chosen[:, None, :]] * (real[:, :, None] & real[:, None, :])
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
    """Of every row start + change, rounded to float32, unless the error did not fall.

    The error changes by δ G δᵀ − 2 δ · owed, in which large errors do not hide small differences.
    """
    new = (start + change).float()
    rounded = new.double() - start
    rise = ((rounded @ gram - 2 * owed) * rounded).sum(dim=1)
    return torch.where((rise < 0)[:, None], new, start.float())  # NaN is no improvement
