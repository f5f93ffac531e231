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
    """Where Student's t with so many degrees of freedom has this share below it."""
    from scipy.special import stdtrit  # takes as much memory as a small model: only once all have been measured

    return float(stdtrit(freedom, share))
