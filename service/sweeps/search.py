"""Search for the most ambitious candidate that meets a target, among candidates ordered from the safest to the most ambitious.

Symbols: candidate i has the coordinate x_i (a sparsity, or its position in the list), increasing with i;
         r_i = ln(damage_i / bound) is its gap on the logarithmic scale, on which damage grows almost linearly with sparsity:
         r_i ≤ 0 meets the target.
         The bracket is (low, high): the highest candidate that meets the target, and the lowest above it that does not.

The next candidate follows from the measured gaps alone, so that a crash changes nothing. Without a bracket it is the zero of a
line through the last two gaps, or with the slope given; then the zero of the secant between the ends of the bracket. The step
from an end that moved k times in a row is at least 2^(k-1) candidates, and never beyond the middle of the bracket: the secant of
a curve with a bend would otherwise approach from one side, one candidate at a time.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.contract.sweeps import SearchEnd

_STEEPEST: Final = 6.0
"""Bound of |r|: beyond it, and where the damage is zero or negative, the value is noise."""


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
    return max(-_STEEPEST, min(_STEEPEST, math.log(damage / bound)))


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


def next_candidate(x: Sequence[float], gaps: Mapping[int, float], *, start: int, slope: float) -> int | None:
    """Return the index of the candidate to measure next; None if the answer is certain.

    Args:
        x: coordinates of the candidates, increasing.
        gaps: measured gaps by index, in the order of measurement.
        start: index to measure first.
        slope: expected dr/dx, used until two gaps are known.
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
    half, least = (found.high - found.low) // 2, 2 ** (_repeats(gaps) - 1)
    from_low, from_high = (least, 1) if _last(gaps) <= 0 else (1, least)
    return max(found.low + min(from_low, half), min(nearest, found.high - min(from_high, half)))


def _outwards(x: Sequence[float], gaps: Mapping[int, float], found: Bracket, slope: float) -> int:
    """Return the next candidate while all are on one side of the target: two steps at most, then the last one there."""
    last = len(x) - 1
    edge = found.low if found.low is not None else found.high
    assert edge is not None
    slope = slope_through(x, gaps) or slope
    nearest = bisect_right(x, x[edge] - gaps[edge] / slope + 1e-9) - 1
    if found.low is not None:
        return last if len(gaps) >= 3 else min(max(nearest, edge + 1), last)
    return 0 if len(gaps) >= 3 else max(min(nearest, edge - 1), 0)


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


def _last(gaps: Mapping[int, float]) -> float:
    return next(reversed(list(gaps.values())))


def _repeats(gaps: Mapping[int, float]) -> int:
    """Return how many of the last measurements lie on the same side of the target."""
    sides = [r <= 0 for r in gaps.values()]
    return next((count for count, side in enumerate(reversed(sides)) if side != sides[-1]), len(sides))
