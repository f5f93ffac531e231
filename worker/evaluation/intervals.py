"""Means over windows and how sure they are: standard errors, and 95 % intervals by Student's t.

Windows are taken as independent samples of the text, which neighbouring ones of one document are not quite.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Self

_TAIL: Final = 0.975
"""Below the upper end of a 95 % interval."""


@dataclass(frozen=True)
class Mean:
    """Of several values; of a single one nobody knows how far it is off."""

    value: float
    standard_error: float | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        mean, count = fmean(values), len(values)
        if count < 2:
            return cls(mean, None, None)
        error = stdev(values) / math.sqrt(count)
        reach = t_quantile(_TAIL, count - 1) * error
        return cls(mean, error, (mean - reach, mean + reach))


def t_quantile(share: float, freedom: int) -> float:
    """Where Student's t with so many degrees of freedom has this share (above a half) below it."""
    low, high = 0.0, 1.0
    while t_share(high, freedom) < share:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return high


def t_share(t: float, freedom: int) -> float:
    """The share of Student's t below t ≥ 0: Abramowitz and Stegun, 26.7.3 and 26.7.4, with θ = atan(t / √freedom)."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    is_odd = freedom % 2 == 1
    term = cosine if is_odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + is_odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 0.5 + ((theta + sine * total) / math.pi if is_odd else sine * total / 2)
