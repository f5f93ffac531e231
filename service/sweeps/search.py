"""Search for the most ambitious candidate that meets a target, among candidates ordered from the safest to the most ambitious.

Symbols: candidate i has the coordinate x_i (a sparsity, or its position in the list), increasing with i;
         r_i = ln(damage_i / bound) is its gap on the logarithmic scale, on which damage grows almost linearly with sparsity:
         r_i ≤ 0 meets the target.
         The bracket is (low, high): the highest candidate that meets the target, and the lowest above it that does not.

The next candidate follows from the measured gaps alone, so that a crash changes nothing. Without a bracket it is the zero of a
line through the last two gaps, or with the slope given; then the zero of the secant between the ends of the bracket, moved
towards the middle as far as bisection needs to finish with the points that are left (as in the ITP method of Oliveira and
Takahashi, 2020): a curve with a bend or a jump costs a few points more, and no answer.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.contract.sweeps import SearchEnd

_STEEPEST: Final = 6.0
"""Bound of |r|: beyond it, and where the damage is zero or negative, the value is noise."""


_STEPS: Final = 3
"""Points on one side of the target after which the other end is measured."""


@dataclass(frozen=True)
class Bracket:
    """Indices of the highest candidate that meets the target, and of the lowest above it that does not; None: not known."""

    low: int | None
    high: int | None


def gap(damage: float, bound: float) -> float:
    """Return r = ln(damage / bound), bounded; a bound of zero or less is met only by a damage that is not above it."""
    if bound <= 0:
        return -_STEEPEST if damage <= bound else _STEEPEST
    if damage <= 0:
        return -_STEEPEST
    return max(-_STEEPEST, min(_STEEPEST, math.log(damage) - math.log(bound)))


def bracket(gaps: Mapping[int, float]) -> Bracket:
    """Return the bracket of the measured gaps, by index. A miss below a candidate that meets the target is ignored."""
    low = max((index for index, r in gaps.items() if r <= 0), default=None)
    misses = [index for index, r in gaps.items() if r > 0 and (low is None or index > low)]
    return Bracket(low, min(misses, default=None))


def end_of(gaps: Mapping[int, float], count: int, *, max_points: int) -> SearchEnd | None:
    """Return the outcome of a search among `count` candidates; None if there is more to measure."""
    found = bracket(gaps)
    if found.low == count - 1:
        return SearchEnd.ALL_MEET
    if found.high == 0:
        return SearchEnd.NONE_MEETS
    if found.low is not None and found.high == found.low + 1:
        return SearchEnd.FOUND
    return SearchEnd.POINTS_SPENT if len(gaps) >= max_points else None


def next_candidate(x: Sequence[float], gaps: Mapping[int, float], *, start: int, slope: float, left: int) -> int | None:
    """Return the index of the candidate to measure next; None if the answer is certain.

    Args:
        x: coordinates of the candidates, increasing.
        gaps: measured gaps by index, in the order of measurement.
        start: index to measure first.
        slope: expected dr/dx, used until two gaps are known.
        left: number of points that may still be measured, with this one.
    """
    found, last = bracket(gaps), len(x) - 1
    if not gaps:
        return start
    if found.low == last or found.high == 0:
        return None
    if found.low is None or found.high is None:
        return _outwards(x, gaps, found, slope)
    if found.high - found.low == 1:
        return None
    zero = zero_of(x, gaps, found.low, found.high)
    nearest = bisect_right(x, zero + 1e-9) - 1
    reach = 2 ** (left - 1)
    lowest, highest = max(found.low + 1, found.high - reach), min(found.high - 1, found.low + reach)
    return max(lowest, min(nearest, highest)) if lowest <= highest else (found.low + found.high) // 2


def _outwards(x: Sequence[float], gaps: Mapping[int, float], found: Bracket, slope: float) -> int:
    """Return the next candidate while all are on one side of the target.

    It is the first one expected on the other side, and after three points the last one there.
    """
    is_low, last = found.low is not None, len(x) - 1
    edge = found.low if found.low is not None else found.high
    assert edge is not None
    if len(gaps) >= _STEPS:
        return last if is_low else 0
    slope = slope_through(x, gaps) or slope
    nearest = bisect_right(x, x[edge] - gaps[edge] / slope + 1e-9) - 1
    return min(max(nearest + 1, edge + 1), last) if is_low else max(min(nearest, edge - 1), 0)


def slope_through(x: Sequence[float], gaps: Mapping[int, float]) -> float | None:
    """Return dr/dx through the last two gaps; None if it is not known, or not positive."""
    if len(gaps) < 2:
        return None
    *_, (i, r_i), (j, r_j) = gaps.items()
    slope = (r_j - r_i) / (x[j] - x[i])
    return slope if slope > 0 else None


def zero_of(x: Sequence[float], gaps: Mapping[int, float], low: int, high: int) -> float:
    """Return the coordinate at which the secant through two candidates on both sides of the target meets it."""
    share = gaps[low] / (gaps[low] - gaps[high])
    return x[low] + share * (x[high] - x[low])
