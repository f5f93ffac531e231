"""Conclusions from the points: the sparsest within a bound, and the combinations not measured yet."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Final

from service.contract.readings import Quantity
from service.dashboard.points.point import Point

_BOUNDS: Final = (1.1, 1.25, 1.5, 2.0)
_MOST_NAMED: Final = 4
_USUAL_PRESETS: Final = ("fast", "balanced", "best")
_USUAL_PATTERNS: Final = {"40 %": 0.4, "50 %": 0.5, "60 %": 0.6}
_MOST_PATTERNS: Final = 12


@dataclass(frozen=True)
class Within:
    """Sparsest patterns of the recipes that keep the perplexity within a multiple of the dense model's."""

    bound: float
    found: Sequence[tuple[str, str]]
    """Pattern and recipe, the sparsest first."""


@dataclass(frozen=True)
class Gap:
    """Combinations that have not been measured: every preset at every pattern."""

    presets: Sequence[str]
    patterns: Sequence[str]

    @property
    def count(self) -> int:
        """Number of combinations."""
        return len(self.presets) * len(self.patterns)

    @property
    def values(self) -> str:
        """The patterns as the form takes them: `0.4, 2:4`."""
        return ", ".join(f"{float(each[:-2]) / 100:g}" if each.endswith(" %") else each for each in self.patterns)


def within(points: Sequence[Point], ratio: Quantity | None) -> list[Within]:
    """Return for each bound the sparsest pattern of each recipe; repeated measurements count with their geometric mean."""
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    shares: dict[str, float] = {}
    for point in points:
        reading = point.found.get(ratio) if ratio else None
        if reading is not None and reading.value > 0:
            measured[point.recipe, point.pattern].append(math.log(reading.value))
            shares[point.pattern] = point.share
    if not measured:
        return []
    means = {key: math.exp(fmean(values)) for key, values in measured.items()}
    return [Within(bound, _sparsest(means, shares, bound)) for bound in _BOUNDS]


def _sparsest(means: Mapping[tuple[str, str], float], shares: Mapping[str, float], bound: float) -> list[tuple[str, str]]:
    best: dict[tuple[str, bool], str] = {}
    for (recipe, pattern), mean in means.items():
        key = (recipe, ":" in pattern)
        if mean <= bound and (key not in best or shares[pattern] > shares[best[key]]):
            best[key] = pattern
    found = sorted(
        ((shares[pattern], pattern, recipe) for (recipe, _), pattern in best.items()), key=lambda each: (-each[0], *each[1:])
    )
    return [(pattern, recipe) for share, pattern, recipe in found if share > 0][:_MOST_NAMED]


def largest_gap(points: Sequence[Point]) -> Gap | None:
    """Return the largest grid of presets and patterns of which no point is measured; None if there is none.

    The presets are the usual ones and those measured; the patterns likewise.
    """
    measured = {(point.preset, point.pattern) for point in points if point.preset}
    presets = list(dict.fromkeys([*_USUAL_PRESETS, *(preset for preset, _ in sorted(measured, key=str) if preset)]))
    shares = _USUAL_PATTERNS | {point.pattern: point.share for point in points if point.preset and point.share > 0}
    patterns = sorted(shares, key=lambda pattern: (shares[pattern], pattern))[:_MOST_PATTERNS]
    gaps = [
        Gap(some, missing)
        for count in range(len(presets), 0, -1)
        for some in combinations(presets, count)
        if (missing := [each for each in patterns if all((preset, each) not in measured for preset in some)])
    ]
    return max(gaps, key=lambda gap: gap.count, default=None)
