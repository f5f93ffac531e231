"""What the engine's vectorised functions must give, written one row and one step at a time from the design's rules."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def select_pruned(saliency: Array, *, sparsity: float | None = None, pattern: tuple[int, int] | None = None) -> Mask:
    """The least salient weights of every row or group; among equals the first."""
    pruned = np.zeros(saliency.shape, dtype=bool)
    for r, row in enumerate(saliency):
        width = len(row)
        group, count = (
            (width, int(width * Fraction(str(sparsity or 0)))) if pattern is None else (pattern[1], pattern[1] - pattern[0])
        )
        for start in range(0, width, group):
            order = sorted(range(start, start + group), key=lambda j: (row[j], j))
            for j in order[:count]:
                pruned[r, j] = True
    return pruned


def refine_row(
    weight: Array,
    pruned: Mask,
    mean: Array,
    variance: Array,
    saliency: Array,
    *,
    max_cycles: int,
    threshold: float,
    power: float,
    sign_rule: bool,
    group: int | None,
) -> Mask:
    """DSnoT on a single row, searching all pairs anew before every swap."""
    mask, swapped = pruned.copy(), set[int]()
    contribution = weight * mean
    error = float(contribution[mask].sum())
    first_sign = np.sign(error)
    for _ in range(max_cycles):
        sign = np.sign(error)
        if abs(error) <= threshold:
            break
        pair = None
        grows = [j for j in range(len(weight)) if mask[j] and j not in swapped and sign * contribution[j] > 0]
        for j in sorted(grows, key=lambda j: -abs(contribution[j]) / variance[j] ** power):
            kept = [k for k in range(len(weight)) if not mask[k] and k not in swapped]
            if group is None:
                kept = [k for k in kept if sign * contribution[k] < 0]
            else:
                kept = [k for k in kept if k // group == j // group]
            if kept:
                pair = (j, min(kept, key=lambda k: saliency[k]))
                break
        if pair is None:
            break
        after = error - contribution[pair[0]] + contribution[pair[1]]
        if (sign_rule or group is not None) and np.sign(after) != first_sign:
            break
        mask[pair[0]], mask[pair[1]] = False, True
        swapped |= set(pair)
        error = after
    return mask
