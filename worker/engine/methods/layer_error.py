"""Exact reconstruction error of a mask at a layer's output, and the choice between two masks by it.

Axes:    W, masks (out, in); G (in, in); example inputs X (tokens, in).
Symbols: p   the pruned part of a row: the row of W where it is pruned, zero elsewhere
         G = Σ x xᵀ over tokens
         p G pᵀ = Σ (p x)², the squared error of that output; summed over rows it is ‖(W − W′)X‖².
"""

import torch
from torch import Tensor

from worker.engine.linear import product


def row_energies(matrix: Tensor, *, gram: Tensor | None = None, examples: Tensor | None = None) -> Tensor:
    """Return Σ (m x)² over tokens for every row m of a matrix (out, in), as (out,) float64.

    Computed from `gram` (in, in), over all tokens, or from `examples` (tokens, in), a subset that is cheaper to keep.
    """
    if gram is not None:
        return (product(matrix, gram) * matrix).sum(dim=1, dtype=torch.float64)
    assert examples is not None
    return product(examples, matrix).square().sum(dim=0, dtype=torch.float64)


def keep_improvements(before: Tensor, after: Tensor, error_before: Tensor, error_after: Tensor) -> tuple[Tensor, Tensor]:
    """Return for every row the mask `after`, or `before` if its error is smaller, and the errors (out,)."""
    better = error_after <= error_before
    return torch.where(better[:, None], after, before), torch.where(better, error_after, error_before)
