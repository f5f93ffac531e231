"""ADMM: joint optimisation of a matrix's mask and of its kept weights.

Paper: Boža, "Fast and Effective Weight Update for Pruned Large Language Models", arXiv:2401.02938 (equations 4 to 6; the
gradual sparsity schedule is section 3.4). One factorisation serves all rows and all iterations, so it stays usable where
a matrix has too many columns for an exact solve per row.

Axes:    W, targets and masks (out, in); G (in, in).
Symbols: G    Σ x xᵀ over tokens        B  Σ y xᵀ, y the target outputs (out,) for the inputs x
         d    √G_jj; the problem is solved in W·d and G / (d dᵀ), whose diagonal is 1
         λ    damping: λ‖Ŵ − W‖² in that scale is added to the error ‖Y − ŴX‖²
         X̂    (B + λW + ρ(Z − U)) (G + (λ + ρ)I)⁻¹, the optimum without a mask    Z  X̂ + U, pruned    U ← U + X̂ − Z
"""

from collections.abc import Callable

import torch
from torch import Tensor

from worker.engine.linear import product

_PENALTY = 1.0  # ρ, the penalty parameter: as large as the scaled diagonal of G, which is 1
_GROWING = 0.75  # share of the iterations in which the sparsity grows; the rest only optimise the weights


def admm(
    weight: Tensor,
    *,
    gram: Tensor,
    target_products: Tensor,
    select: Callable[[Tensor, float], Tensor],
    iterations: int,
    damping: float,
) -> tuple[Tensor, Tensor]:
    """Return the new weights (out, in), zero where pruned, and their mask (out, in).

    Args:
        weight: the dense W, float32.
        gram: G, float32.
        target_products: B; W G if the targets are the dense outputs on the same inputs.
        select: returns a mask from a saliency (out, in), |W·d|, and the share, 0 to 1, of the final number of pruned
            weights. For a given mask, pass a `select` that returns it.
        iterations: at least 1.
        damping: λ ≥ 0.
    """
    size = gram.diagonal().clamp(min=0).sqrt()
    size = torch.where(size > 0, size, 1.0)  # weights on an input that is always zero keep their values
    scaled = gram / size / size[:, None]
    start = weight * size
    scaled.diagonal().add_(damping + _PENALTY)
    inverted = torch.cholesky_inverse(torch.linalg.cholesky(scaled))  # positive definite: ρ = 1 is added to the diagonal
    del scaled
    pull = product(target_products / size + damping * start, inverted)
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
