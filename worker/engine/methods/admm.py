"""ADMM: the mask of a matrix and the values of what it keeps, found together.

Paper: Boža, "Fast and Effective Weight Update for Pruned Large Language Models", arXiv:2401.02938 (equations 4 to 6; the
growing sparsity is section 3.4). One factorisation serves all rows and all iterations, so that it stays usable where a
matrix has too many columns for an exact solve per row.

Axes:    W, targets and masks (out, in); G (in, in).
Symbols: G    Σ x xᵀ over tokens        B  Σ y xᵀ, y the outputs (out,) that are wanted for the inputs x
         d    √G_jj; the problem is solved in W·d and G / (d dᵀ), whose diagonal is 1
         λ    damping: λ‖Ŵ − W‖² in that scale is added to the error ‖Y − ŴX‖²
         X̂    (B + λW + ρ(Z − U)) (G + (λ + ρ)I)⁻¹, the optimum without a mask    Z  X̂ + U, pruned    U ← U + X̂ − Z
"""

from collections.abc import Callable

import torch
from torch import Tensor

from worker.engine.linear import product

_PENALTY = 1.0  # ρ: the diagonal of G is 1, and so the pull towards the mask is as strong as that of one input
_GROWING = 0.75  # the share of the iterations in which the sparsity grows; the others settle the weights


def admm(
    weight: Tensor,
    *,
    gram: Tensor,
    wanted: Tensor,
    select: Callable[[Tensor, float], Tensor],
    iterations: int,
    damping: float,
) -> tuple[Tensor, Tensor]:
    """New weights (out, in), zero where pruned, and the mask (out, in) that they were found with.

    Args:
        weight: the dense W, float32.
        gram: G, float32.
        wanted: B; W G where the dense outputs on the same inputs are wanted.
        select: the mask for the absolute values (out, in) of weights in the scale of their contribution, where the
            share of what is to be pruned in the end, from 0 to 1, is pruned. A given mask is a `select` that returns it.
        iterations: at least 1.
        damping: λ ≥ 0.
    """
    size = gram.diagonal().clamp(min=0).sqrt()
    size = torch.where(size > 0, size, 1.0)  # an input that is always zero: its weights stay what they are
    scaled = gram / size / size[:, None]
    start = weight * size
    scaled.diagonal().add_(damping + _PENALTY)
    inverted = torch.cholesky_inverse(torch.linalg.cholesky(scaled))  # at least 1 on the diagonal beside the Gram: it exists
    del scaled
    pull = product(wanted / size + damping * start, inverted)
    growing = max(1, round(iterations * _GROWING))
    free, dual, pruned = start, torch.zeros_like(start), torch.zeros_like(start, dtype=torch.bool)
    for step in range(1, iterations + 1):
        dual = dual + free  # X̂ + U
        if step <= growing:
            pruned = select(dual.abs(), 1 - (1 - step / growing) ** 3)
        masked = dual.masked_fill(pruned, 0)  # Z
        dual = dual - masked  # U
        free = pull + _PENALTY * product(masked - dual, inverted)
    return (dual + free).masked_fill(pruned, 0) / size, pruned
