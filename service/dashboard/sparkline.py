"""Sparkline of perplexity against sparsity: small, without axes, on a logarithmic scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Self

from service.dashboard.formats import figure, share
from service.jobs.groups.repository import Measured

WIDTH: Final = 120
HEIGHT: Final = 28
_MARGIN: Final = 3


@dataclass(frozen=True)
class Sparkline:
    """Lines of a group's measurements: one for each model and data set, because only those are comparable."""

    lines: Sequence[str]
    """Points of the polylines."""
    dots: Sequence[tuple[str, str]]
    """Coordinates of all points."""
    text: str
    """Description in words."""

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> Self | None:
        """Return the sparkline of a group; None without measurements. Those of a line are adjacent, by sparsity."""
        found = [each for each in measured if each.perplexity > 0]
        if not found:
            return None
        lowest = min(found, key=lambda each: (each.perplexity, each.sparsity))
        highest = max(found, key=lambda each: (each.perplexity, each.sparsity))
        x = _scale([each.sparsity for each in found], _MARGIN, WIDTH - _MARGIN)
        y = _scale([math.log(each.perplexity) for each in found], HEIGHT - _MARGIN, _MARGIN)
        lines = [
            [(f"{x(each.sparsity):.1f}", f"{y(math.log(each.perplexity)):.1f}") for each in line]
            for _, line in groupby(found, key=lambda each: (each.model, each.dataset))
        ]
        text = f"perplexity {figure(lowest.perplexity)} at {share(lowest.sparsity, 0)}"
        if lowest != highest:
            text += f" to {figure(highest.perplexity)} at {share(highest.sparsity, 0)}"
        joined = [" ".join(",".join(point) for point in line) for line in lines if len(line) > 1]
        return cls(joined, [point for line in lines for point in line], text)


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, span = min(values), max(values) - min(values)
    return lambda value: start + (end - start) * ((value - low) / span if span else 0.5)
