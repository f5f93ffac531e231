"""Means over windows with standard errors and 95 % confidence intervals by Student's t.

Windows are treated as independent samples of the text, although neighbouring windows of one document are not quite.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Self

_TAIL: Final = 0.975
"""Probability below the upper end of a 95 % interval."""


@dataclass(frozen=True)
class Mean:
    """Mean of several values; a single value has no standard error and no interval."""

    value: float
    standard_error: float | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the mean of the values with its standard error and interval."""
        mean, count = fmean(values), len(values)
        if count < 2:
            return cls(mean, None, None)
        error = stdev(values) / math.sqrt(count)
        reach = t_quantile(_TAIL, count - 1) * error
        return cls(mean, error, (mean - reach, mean + reach))


def t_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t with `freedom` degrees of freedom at the probability `share`."""
    from scipy.special import stdtrit  # takes as much memory as a small model: imported only after the measurements

    return float(stdtrit(freedom, share))
