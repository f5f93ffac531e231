"""Line chart as numbers for the template: points in units of the drawing, and round tick values for its axes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 260
LEFT: Final = 56
RIGHT: Final = 12
TOP: Final = 12
BOTTOM: Final = 36
_MOST_LABELS: Final = 12


@dataclass(frozen=True)
class Tick:
    """Tick of an axis: its position and label."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """Series of the chart."""

    name: str
    paths: Sequence[str]
    """Points of `<polyline>`, one for each stretch without a gap."""
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Line chart: its series, and the ticks of both axes."""

    lines: Sequence[Line]
    across: Sequence[Tick]
    up: Sequence[Tick]


def line_chart(labels: Sequence[str], series: dict[str, Sequence[float | None]]) -> Chart | None:
    """Return the chart of series with a value >= 0 or None for each label; None if there are no values at all."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return None
    step = _round_step(max(known) or 1.0)
    top = step * math.ceil((max(known) or 1.0) / step - 1e-9)
    place = [LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / len(labels) for index in range(len(labels))]

    def height(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), 2)

    every = -(-len(labels) // _MOST_LABELS)
    return Chart(
        lines=[
            _line(name, [(round(x, 2), height(y)) if y is not None else None for x, y in zip(place, values, strict=True)])
            for name, values in series.items()
        ],
        across=[Tick(round(place[index], 2), labels[index]) for index in range(0, len(labels), every)],
        up=[Tick(height(step * index), f"{step * index:.6g}") for index in range(round(top / step) + 1)],
    )


def _line(name: str, points: Sequence[tuple[float, float] | None]) -> Line:
    stretches = list(_stretches(points))
    paths = [" ".join(f"{x:g},{y:g}" for x, y in stretch) for stretch in stretches if len(stretch) > 1]
    return Line(name, paths, [point for point in points if point is not None])


def _stretches(points: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    stretch: list[tuple[float, float]] = []
    for point in points:
        if point is not None:
            stretch.append(point)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _round_step(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten, such that four to ten steps reach up to `most`."""
    magnitude: float = 10.0 ** math.floor(math.log10(most / 4))
    return max(step * magnitude for step in (1, 2, 5) if step * magnitude <= most / 4 * (1 + 1e-9))
