"""How much a weight matters: the criterion that decides which weights are pruned first.

Papers: magnitude pruning (Han et al., 2015); Wanda (Sun et al., ICLR 2024, arXiv:2306.11695, equation 1); RIA (Zhang et
al., ICLR 2024, "Plug-and-Play", equation 3, with their a = ½). The fourth criterion, obs, comes with its update in obs.py.

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
    RIA = "ria"
    OBS = "obs"


def magnitude(weight: Tensor, norm: Tensor) -> Tensor:  # noqa: ARG001 — every criterion is called alike
    """|W|, (out, in). The inputs play no part."""
    return weight.abs()


def wanda(weight: Tensor, norm: Tensor) -> Tensor:
    """|W| · ‖X_j‖₂, (out, in), from `norm` (in,) = √E[x_j²]."""
    return weight.abs() * norm


def ria(weight: Tensor, norm: Tensor) -> Tensor:
    """(|W| / Σ of its row + |W| / Σ of its column) · ‖X_j‖₂^½, (out, in): no input and no output loses all it has."""
    size = weight.abs()
    rows, columns = size.sum(dim=1, keepdim=True), size.sum(dim=0)
    tiny = 1e-30  # only where all of a row or a column is zero already
    return (size / rows.clamp(min=tiny) + size / columns.clamp(min=tiny)) * norm.sqrt()


SALIENCIES: dict[Criterion, Callable[[Tensor, Tensor], Tensor]] = {
    Criterion.MAGNITUDE: magnitude,
    Criterion.WANDA: wanda,
    Criterion.RIA: ria,
}
"""Those that look at one input at a time."""
