"""How sparse each block is, when the whole is to reach a given sparsity.

Papers: OWL (Yin et al., arXiv:2310.05175, section 3.2); an arithmetic progression over depth (Huang et al.,
arXiv:2502.14770, section 3.3).

Symbols: s      the share of weights that the recipe asks to prune, 0 ≤ s < 1
         s_b    the share that block b prunes; Σ s_b · size_b = s · Σ size_b, size_b the weights of its matrices
         δ_b    s_b − s, a block's deviation
"""

from collections.abc import Sequence
from enum import StrEnum

from torch import Tensor

OUTLIER = 5.0  # M: a weight is an outlier if its saliency is so many times the mean of its block
SPREAD = 0.08  # λ: no block's share lies further than 2λ from another's
SLOPES = (0.0, 0.05, 0.1, 0.15, 0.2)  # differences between the last block's share and s that are tried
_MOST = 0.99  # no block prunes more


class Allocation(StrEnum):
    """The rule that divides the sparsity among the blocks."""

    UNIFORM = "uniform"
    OWL = "owl"
    ARITHMETIC = "arithmetic"


def uniform(sparsity: float, sizes: Sequence[int]) -> tuple[float, ...]:
    """The same share for all blocks, as in Wanda and DSnoT."""
    return (sparsity,) * len(sizes)


def outlier_ratio(saliencies: Sequence[Tensor]) -> float:
    """The share of outliers among the weights of one block, from the Wanda saliencies of its matrices, each (out, in)."""
    count = sum(saliency.numel() for saliency in saliencies)
    mean = float(sum(float(saliency.sum()) for saliency in saliencies)) / count
    return sum(int((saliency > OUTLIER * mean).sum()) for saliency in saliencies) / count


def owl(sparsity: float, sizes: Sequence[int], ratios: Sequence[float]) -> tuple[float, ...]:
    """Blocks with more outliers are pruned less: δ falls with the block's `outlier_ratio`, over a range of 2λ."""
    width = max(ratios) - min(ratios)
    return _shares(sparsity, sizes, [-2 * SPREAD * (ratio - min(ratios)) / width if width else 0.0 for ratio in ratios])


def arithmetic(sparsity: float, sizes: Sequence[int], slope: float) -> tuple[float, ...]:
    """Deeper blocks are pruned more: δ rises in equal steps from −slope to slope."""
    last = max(1, len(sizes) - 1)
    return _shares(sparsity, sizes, [slope * (2 * block / last - 1) if len(sizes) > 1 else 0.0 for block in range(len(sizes))])


def _shares(sparsity: float, sizes: Sequence[int], deviations: Sequence[float]) -> tuple[float, ...]:
    """s + δ_b, with δ moved to a weighted mean of zero, and shrunk where a share would leave [0, _MOST]."""
    total = sum(sizes)
    mean = sum(d * size for d, size in zip(deviations, sizes, strict=True)) / total
    centred = [d - mean for d in deviations]
    room = [(_MOST - sparsity if d > 0 else sparsity) / abs(d) for d in centred if d]
    shrink = max(0.0, min([1.0, *room]))
    return tuple(sparsity + shrink * d for d in centred)
