"""Sparsity allocation: the sparsity of each block for a given sparsity of the whole model.

Papers: OWL (Yin et al., arXiv:2310.05175, section 3.2); an arithmetic progression over depth (Huang et al.,
arXiv:2502.14770, section 3.3).

Symbols: s      the recipe's sparsity, 0 ≤ s < 1
         s_b    the sparsity of block b; Σ s_b · size_b = s · Σ size_b, size_b the number of weights in its matrices
         δ_b    s_b − s, a block's deviation
"""

from collections.abc import Sequence

from torch import Tensor

OUTLIER = 5.0  # M: a weight is an outlier if its saliency exceeds M times the mean of its block
SPREAD = 0.08  # λ: the sparsities of two blocks differ by at most 2λ
SLOPES = (0.0, 0.05, 0.1, 0.15, 0.2)  # candidates for δ of the last block
_MOST = 0.99  # maximum sparsity of a block


def uniform(sparsity: float, sizes: Sequence[int]) -> tuple[float, ...]:
    """Return the same sparsity for all blocks, as in Wanda and DSnoT."""
    return (sparsity,) * len(sizes)


def outlier_ratio(saliencies: Sequence[Tensor]) -> float:
    """Return the share of outliers among one block's weights, from the Wanda saliencies of its matrices, each (out, in)."""
    count = sum(saliency.numel() for saliency in saliencies)
    mean = float(sum(float(saliency.sum()) for saliency in saliencies)) / count
    return sum(int((saliency > OUTLIER * mean).sum()) for saliency in saliencies) / count


def owl(sparsity: float, sizes: Sequence[int], ratios: Sequence[float]) -> tuple[float, ...]:
    """Return the OWL allocation: δ decreases linearly with the block's `outlier_ratio`, over a range of 2λ."""
    width = max(ratios) - min(ratios)
    return _shares(sparsity, sizes, [-2 * SPREAD * (ratio - min(ratios)) / width if width else 0.0 for ratio in ratios])


def arithmetic(sparsity: float, sizes: Sequence[int], slope: float) -> tuple[float, ...]:
    """Return the arithmetic progression: δ rises with depth in equal steps from −slope to slope."""
    last = max(1, len(sizes) - 1)
    return _shares(sparsity, sizes, [slope * (2 * block / last - 1) if len(sizes) > 1 else 0.0 for block in range(len(sizes))])


def _shares(sparsity: float, sizes: Sequence[int], deviations: Sequence[float]) -> tuple[float, ...]:
    """Return s + δ_b, with δ centred to a weighted mean of zero and scaled down if a sparsity would leave [0, _MOST]."""
    total = sum(sizes)
    mean = sum(d * size for d, size in zip(deviations, sizes, strict=True)) / total
    centred = [d - mean for d in deviations]
    room = [(_MOST - sparsity if d > 0 else sparsity) / abs(d) for d in centred if d]
    shrink = max(0.0, min([1.0, *room]))
    return tuple(sparsity + shrink * d for d in centred)
