"""Inverse of a layer's Hessian, with damping increased until the Cholesky factorisation succeeds.

Papers: Frantar and Alistarh, SparseGPT, arXiv:2301.00774 (section 3 and algorithm 1); Hassibi and Stork, 1993.

Axes:    G, H, U (in, in).
Symbols: G   = Σ x xᵀ, a Gram matrix; the Hessian of ‖(w − ŵ)X‖² in ŵ is 2G; the factor 2 cancels
         d   mean of G_jj over the inputs that are not always zero
         λ   damping, a share of d
         H   = G + λd·I; where input j is always zero, H_jj = d(1 + λ) and the rest of row and column j stays zero
         U   upper triangular with H⁻¹ = Uᵀ U. U_jj² is [H⁻¹]_jj after the inputs before j are eliminated from H:
             SparseGPT divides by it, and its left-to-right sweep propagates errors with the rows of U

λ is multiplied by ten until H has a Cholesky factor, so every finite G has an inverse, zero and singular ones included.
The Cholesky factor of H in reversed order gives U by one triangular inversion; H⁻¹ itself is not factorised, which would
fail for an ill-conditioned H. All in float64: 1536 inputs take a quarter of a second.
"""

import torch
from torch import Tensor

LEAST_DAMPING = 1e-9  # first damping tried after zero


def inverse_factor(gram: Tensor, damping: float) -> Tensor:
    """Return U, (in, in) in the type of `gram`, for the smallest of damping, 10 · damping, … that works."""
    return _factor(gram, damping).to(gram.dtype)


def inverse(gram: Tensor, damping: float) -> Tensor:
    """Return H⁻¹, (in, in) in the type of `gram`, for the smallest of damping, 10 · damping, … that works."""
    factor = _factor(gram, damping)
    return (factor.T @ factor).to(gram.dtype)


def _factor(gram: Tensor, damping: float) -> Tensor:
    """Return U in float64."""
    diagonal = gram.diagonal().double()
    dead = diagonal <= 0
    mean = diagonal[~dead].mean() if not bool(dead.all()) else torch.ones_like(diagonal[0])
    hessian = gram.double().flip(0, 1)  # reversed: the lower factor of this is the upper factor of H, reversed
    while True:
        damped = torch.where(dead, mean, diagonal) + damping * mean
        lower, failed = torch.linalg.cholesky_ex(hessian.diagonal_scatter(damped.flip(0)))
        if not failed:
            one = torch.eye(len(gram), dtype=torch.float64, device=gram.device)
            factor: Tensor = torch.linalg.solve_triangular(lower, one, upper=False)
            return factor.flip(0, 1)
        damping = max(10 * damping, LEAST_DAMPING)
