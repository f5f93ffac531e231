"""Saliency criteria: the scores by which weights are pruned, least salient first.

Papers: magnitude pruning (Han et al., 2015); Wanda (Sun et al., ICLR 2024, arXiv:2306.11695, equation 1); RIA (Zhang et
al., ICLR 2024, "Plug-and-Play", equation 3, with their a = ½). The fourth criterion, obs, is in sparsegpt.py.

Axes:    W (out, in); a row is one output, a column one input.
Symbols: x_j  input j of the layer, a random variable over the calibration tokens
         ‖X_j‖₂ = √Σ x_j² over tokens; here √E[x_j²], which ranks the weights of a row identically.
"""

from collections.abc import Callable

from torch import Tensor

from service.contract.recipe.choices import Criterion

Saliency = Callable[[Tensor, Tensor], Tensor]
SALIENCIES: dict[Criterion, Saliency] = {}
"""Criteria computed from the weights and the norms of the inputs alone, without the Gram matrix."""


def _computes(criterion: Criterion) -> Callable[[Saliency], Saliency]:
    def register(function: Saliency) -> Saliency:
        SALIENCIES[criterion] = function
        return function

    return register


@_computes(Criterion.MAGNITUDE)
def magnitude(weight: Tensor, norm: Tensor) -> Tensor:  # noqa: ARG001 — all criteria have one signature
    """Return |W|, (out, in); the inputs are ignored."""
    return weight.abs()


@_computes(Criterion.WANDA)
def wanda(weight: Tensor, norm: Tensor) -> Tensor:
    """Return |W| · ‖X_j‖₂, (out, in), from `norm` (in,) = √E[x_j²]."""
    return weight.abs() * norm


@_computes(Criterion.RIA)
def ria(weight: Tensor, norm: Tensor) -> Tensor:
    """Return (|W| / Σ of its row + |W| / Σ of its column) · ‖X_j‖₂^½, (out, in); prunes no row or column entirely."""
    size = weight.abs()
    rows, columns = size.sum(dim=1, keepdim=True), size.sum(dim=0)
    tiny = 1e-30  # used only for rows and columns that are all zero
    return (size / rows.clamp(min=tiny) + size / columns.clamp(min=tiny)) * norm.sqrt()
