"""How much a weight matters: the criterion that decides which weights are pruned first.

Papers: magnitude pruning (Han et al., 2015); Wanda (Sun et al., ICLR 2024, arXiv:2306.11695, equation 1).

Axes:    W (out, in); a row is one output, a column one input.
Symbols: x_j  input j of the layer, a random variable over the calibration tokens
         ‖X_j‖₂ = √Σ x_j² over tokens; here √E[x_j²], which orders the weights of a row in the same way.
"""

from collections.abc import Callable
from enum import StrEnum

from torch import Tensor


class Criterion(StrEnum):
    """Which saliency chooses the first mask."""

    MAGNITUDE = "magnitude"
    WANDA = "wanda"


def magnitude(weight: Tensor, norm: Tensor) -> Tensor:  # noqa: ARG001 — every criterion is called alike
    """|W|, (out, in). The inputs play no part."""
    return weight.abs()


def wanda(weight: Tensor, norm: Tensor) -> Tensor:
    """|W| · ‖X_j‖₂, (out, in), from `norm` (in,) = √E[x_j²]."""
    return weight.abs() * norm


SALIENCIES: dict[Criterion, Callable[[Tensor, Tensor], Tensor]] = {
    Criterion.MAGNITUDE: magnitude,
    Criterion.WANDA: wanda,
}
