"""Points of a sweep as the rows of its page: chosen measures, series of the chart, Pareto front, order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from service.contract.figures import Figure, dense_figures, figures
from service.contract.sweeps import SweepSpec
from service.dashboard.formats import figure
from service.dashboard.measure_texts import axis_of, is_logarithmic, title_of, value_text
from service.database.tables.jobs import Job
from service.sweeps import front as pareto
from service.sweeps.schemas import gap_of
from service.sweeps.wording import values_text

_PATTERN: Final = "/recipe/pattern"
_QUALITY: Final = ("perplexity", "kl_divergence", "acc")
_USUAL: Final = ("packed_bytes", "artifact_bytes", "seconds")


@dataclass(frozen=True)
class TableChoice:
    """Measures, scale and order that a page's URL names; empty: the defaults."""

    x: str = ""
    y: str = ""
    scale: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Measure:
    """Measure of the points: its name as in the API, its title, and its axis with title and format."""

    name: str
    title: str
    axis: Mapping[str, str]

    @classmethod
    def of(cls, name: str) -> "Measure":
        """Return the measure of this name, such as `perplexity:wiki-sample:test`."""
        quantity, _, on = name.partition(":")
        return cls(name, title_of(quantity, on), axis_of(quantity, on))


@dataclass(frozen=True)
class PointRow:
    """Point of the table and of the chart."""

    job: Job
    text: str
    series: int
    line: int
    """Number of the line that joins it: points of a line differ in their pattern only."""
    cells: Sequence[str]
    x: Figure | None
    y: Figure | None
    on_front: bool
    gap: float | None


class PointTable:
    """Table of a sweep's points for a choice of measures."""

    def __init__(self, spec: SweepSpec, jobs: Sequence[Job], asked: TableChoice) -> None:
        self._spec, self._jobs, self._asked = spec, jobs, asked
        self._measured = [figures(job.metrics) for job in jobs]
        self.names = list(dict.fromkeys(name for each in self._measured for name in each))
        self.measures = [Measure.of(name) for name in self.names]
        quality = next((name for name in self.names if name.partition(":")[0] in _QUALITY), "")
        self.x = asked.x if asked.x in self.names else "sparsity" if "sparsity" in self.names else ""
        self.y = asked.y if asked.y in self.names else quality
        sizes = [name for name in _USUAL if name in self.names]
        shown = [quality, self.y, self.x, *sizes[:1], *sizes[-1:]]
        self.columns = [Measure.of(name) for name in dict.fromkeys(filter(None, shown))]

    @cached_property
    def dense(self) -> Mapping[str, Figure]:
        """Figures of the dense model."""
        return dense_figures(job.metrics for job in self._jobs)

    def axis(self, name: str) -> Mapping[str, str]:
        """Return title and format of an axis."""
        return Measure.of(name).axis

    @property
    def is_logarithmic(self) -> bool:
        """Whether the y axis is logarithmic."""
        return is_logarithmic([each[self.y].value for each in self._measured if self.y in each], self._asked.scale)

    @cached_property
    def front(self) -> frozenset[int]:
        """Indices of the points on the Pareto front of the chosen measures; empty if one has no direction of improvement."""
        return pareto.front(self._measured, (self.x, self.y)) if self.x != self.y else frozenset()

    @cached_property
    def series(self) -> list[str]:
        """Names of the series: presets if they differ, else values of the first axis other than the pattern."""
        return list(dict.fromkeys(self._series))

    @cached_property
    def _series(self) -> list[str]:
        presets = [job.spec["recipe"].get("preset") or "no preset" for job in self._jobs]
        axis = next((where for where in (self._spec.axes or {}) if not where.startswith(_PATTERN)), None)
        if len(set(presets)) > 1 or axis is None:
            return presets
        return [values_text({axis: (job.sweep_values or {}).get(axis)}) for job in self._jobs]

    def rows(self) -> list[PointRow]:
        """Return the points in the order of the URL."""
        lines: dict[str, int] = {}
        rows = [
            PointRow(
                job,
                values_text(job.sweep_values or {}).replace(" %", "\N{NO-BREAK SPACE}%"),
                self.series.index(self._series[at]),
                lines.setdefault(_line_of(job), len(lines)),
                [self._cell(column, found.get(column.name)) for column in self.columns],
                found.get(self.x),
                found.get(self.y),
                at in self.front,
                gap_of(self._spec, job),
            )
            for at, (job, found) in enumerate(zip(self._jobs, self._measured, strict=True))
        ]
        name = self._asked.sort.removeprefix("-")
        if name not in self.names:
            return rows[::-1] if self._asked.sort == "-point" else rows
        sign = -1 if self._asked.sort.startswith("-") else 1
        keys = [(name not in found, sign * found[name].value if name in found else 0) for found in self._measured]
        return [rows[at] for at in sorted(range(len(rows)), key=keys.__getitem__)]

    def _cell(self, column: Measure, found: Figure | None) -> str:
        if found is None:
            return "–"
        text, dense = value_text(column.name.partition(":")[0], found.value), self.dense.get(column.name)
        is_ratio = column.name.startswith("perplexity:") and dense and dense.value
        return f"{text} (×\N{NO-BREAK SPACE}{figure(found.value / dense.value)})" if is_ratio and dense else text


def _line_of(job: Job) -> str:
    values: dict[str, Any] = {where: value for where, value in (job.sweep_values or {}).items() if not where.startswith(_PATTERN)}
    return f"{values} {job.spec['recipe']['pattern']['type']}"
