"""Chart and table of points for one measure under one set of conditions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from service.contract.figures import Figure
from service.contract.readings import Quantity, Reading
from service.contract.recipe.presets import PRESETS
from service.dashboard.formats import percent, spread
from service.dashboard.measure_texts import axis_of, is_logarithmic, kind_of, value_text
from service.dashboard.points.conditions import Condition, conditions, conditions_key, names
from service.dashboard.points.point import RATIO, Point
from service.sweeps import front as pareto

_MOST_SERIES: Final = 12
_REST: Final = "other recipes"
_PERFECT: Final = {RATIO: 1.0, "top1_agreement": 1.0, "kl_divergence": 0.0}
"""Values of the dense model that need no measurement."""


@dataclass(frozen=True)
class ChartChoice:
    """Measure, conditions and scale that a page's URL names; empty: the defaults."""

    y: str = ""
    on: str = ""
    scale: str = ""


@dataclass(frozen=True)
class ChartRow:
    """Point of the chart and of its table."""

    point: Point
    series: int
    line: int
    reading: Reading
    text: str
    ratio: str
    """Perplexity as a multiple of the dense model's; empty if that is the measure itself."""
    on_front: bool


class PointChart:
    """Points of one measure, with what the page needs to draw them."""

    def __init__(self, points: Sequence[Point], asked: ChartChoice, *, has_one_model: bool = True) -> None:
        self._points, self._asked, self._has_one_model = points, asked, has_one_model
        self.measures = names(points)
        self.y = asked.y if asked.y in self.measures else next(iter(self.measures), "")
        self.conditions = conditions(points, self.y)
        chosen = next((each for each in self.conditions if each.key == asked.on), next(iter(self.conditions), None))
        self.chosen: Condition | None = chosen

    @cached_property
    def shown(self) -> list[Point]:
        """Points that have the measure under the chosen conditions."""
        return [point for point in self._points if self.chosen and self.chosen.quantity in point.found]

    @property
    def others(self) -> int:
        """Points that lack the measure or were measured under other conditions."""
        return len(self._points) - len(self.rows)

    @property
    def axes(self) -> Mapping[str, Mapping[str, str]]:
        """Titles and formats of both axes."""
        up = axis_of(self.y, self.chosen.quantity.on) if self.chosen else {"title": "", "kind": "number"}
        return {"x": {"title": "Sparsity, share of zeros", "kind": "share"}, "y": up}

    @property
    def is_logarithmic(self) -> bool:
        """Whether the y axis is logarithmic."""
        return is_logarithmic([row.reading.value for row in self.rows], self._asked.scale)

    @property
    def dense(self) -> float | None:
        """The dense model's value under the same conditions; None without one, or with several models."""
        if self.chosen is None or self.y in _PERFECT:
            return _PERFECT.get(self.y)
        if not self._has_one_model:
            return None
        of = self.chosen.quantity
        dense = Quantity(of.name, "dense", of.on, of.conditions)
        return next((float(point.found[dense].value) for point in self._points if dense in point.found), None)

    @cached_property
    def series(self) -> list[str]:
        """Names of the series: presets in their order, then other recipes, the most frequent first."""
        counts = Counter(point.recipe for point in self.shown)
        known = [
            *(name for name in PRESETS if name in counts),
            *(name for name, _ in counts.most_common() if name not in PRESETS),
        ]
        return known if len(known) <= _MOST_SERIES else [*known[: _MOST_SERIES - 1], _REST]

    @cached_property
    def rows(self) -> list[ChartRow]:
        """Points by sparsity and value."""
        if self.chosen is None:
            return []
        wanted, lines = self.chosen.quantity, dict[str, int]()
        places = {name: at for at, name in enumerate(self.series)}
        rows = [
            ChartRow(
                point,
                places.get(point.recipe, len(places) - 1),
                lines.setdefault(point.line, len(lines)),
                point.found[wanted],
                reading_text(wanted, point.found[wanted]),
                self._ratio(point),
                point.job in self._front,
            )
            for point in self.shown
        ]
        return sorted(rows, key=lambda row: (row.point.sparsity, row.point.pattern, row.reading.value))

    @cached_property
    def ratio_of(self) -> Quantity | None:
        """Perplexity ratio under the chosen conditions of perplexity, else under the most frequent ones."""
        found = conditions(self._points, RATIO)
        key = conditions_key(self.chosen.quantity) if self.chosen and self.y in ("perplexity", RATIO) else ""
        return next((each.quantity for each in found if each.key == key), found[0].quantity if found else None)

    @cached_property
    def _front(self) -> frozenset[UUID]:
        """Jobs on the Pareto front of sparsity and the measure; none if the measure has no direction of improvement."""
        if self.chosen is None or self.chosen.quantity.better is None:
            return frozenset()
        better, wanted = self.chosen.quantity.better, self.chosen.quantity
        rated = [
            {"x": Figure(round(point.sparsity, 4), better="higher"), "y": Figure(point.found[wanted].value, better=better)}
            for point in self.shown
        ]
        return frozenset(self.shown[at].job for at in pareto.front(rated, ("x", "y")))

    def _ratio(self, point: Point) -> str:
        wanted = self.ratio_of if self.y != RATIO else None
        found = point.found.get(wanted) if wanted else None
        return spread(found.value, found.half_width) if found else ""


def reading_text(quantity: Quantity, reading: Reading) -> str:
    """Return the value with half of its interval, in the format of its quantity."""
    if reading.half_width is None:
        return value_text(quantity.name, reading.value)
    if kind_of(quantity.name) == "share":
        return percent(reading.value, reading.half_width)
    return spread(float(reading.value), reading.half_width)
