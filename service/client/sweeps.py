"""Response models of sweeps."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from service.client.answer import Answer
from service.client.frames import frame
from service.contract.failures import Failure
from service.contract.states import JobState
from service.contract.sweeps import ENDED, SearchEnd, SweepState


class Figure(Answer):
    """Measured value with its 95 % interval."""

    value: float | int
    low: float | None = None
    high: float | None = None
    better: Literal["lower", "higher"] | None = None
    """Direction of improvement; None if there is none."""


class Point(Answer):
    """Point of a sweep: a job, and what it has measured."""

    position: int
    values: dict[str, Any]
    """Values that it sets in the template, by JSON pointer."""
    text: str
    job_id: str
    state: JobState
    preset: str | None = None
    pattern: str
    recipe: str
    figures: dict[str, Figure] = Field(default={})
    """Measurements by name, such as `perplexity:wiki-sample:test`."""
    on_front: bool = False
    gap: float | None = None
    """Search: ln(damage / bound); zero or less meets the target."""
    error: Failure | None = None
    artifact_removed_at: datetime | None = None


class BracketEnd(Answer):
    """Measured candidate at an end of a search's bracket."""

    position: int
    values: dict[str, Any]


class Search(Answer):
    """Progress and answer of a search."""

    target: str
    end: SearchEnd | None = None
    """None while the search runs."""
    answer: BracketEnd | None = None
    next: BracketEnd | None = None
    """The least ambitious measured candidate above the answer, which misses the target."""
    candidates: int
    monotone: bool = True
    text: str
    """Answer or progress as a sentence."""


class Sweep(Answer):
    """A sweep, without its points."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    state: SweepState
    name: str | None = None
    model: str
    labels: dict[str, str] = Field(default={})
    spec: dict[str, Any]
    jobs: dict[JobState, int]
    """Number of points by the state of their job."""
    point_count: int = Field(alias="points")
    search: Search | None = None
    error: str | None = None
    """Reason why a search stopped although no job failed."""
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in ENDED


class SweepDetail(Sweep):
    """A sweep with its points."""

    front: list[str] = Field(default=[])
    """Measures of the Pareto front."""
    dense: dict[str, Figure] = Field(default={})
    """Measurements of the dense model, by name."""
    table: list[Point]

    def points(self) -> list[dict[str, Any]]:
        """Return a flat row for each point, as `pandas.DataFrame` takes them.

        Columns: position, job_id, state, pattern, preset, text; a value under the JSON pointer of its axis, as JSON text if it
        is an object or a list; a figure under its name, its 95 % interval under `NAME:low` and `NAME:high`; on_front, gap.
        """
        return [dict(_cells(point)) for point in self.table]

    def to_pandas(self) -> Any:
        """Return the points as a pandas.DataFrame. Raises NotInstalled: pandas is missing."""
        return frame(self.points())


class PlannedPoint(Answer):
    """Point of a planned sweep."""

    position: int
    values: dict[str, Any]
    text: str
    run_seconds: float | None = None
    run_seconds_low: float | None = None
    run_seconds_high: float | None = None


class SweepPlan(Answer):
    """Dry run of a sweep. None: no past job is of about this size."""

    model_config = ConfigDict(serialize_by_alias=True)

    spec: dict[str, Any]
    point_count: int = Field(alias="points")
    """Number of jobs; for a search the maximum."""
    table: list[PlannedPoint]
    """Points in their order; for a search its first one."""
    run_seconds: float | None = None
    run_seconds_low: float | None = None
    run_seconds_high: float | None = None
    wall_seconds: float | None = None
    wall_seconds_low: float | None = None
    wall_seconds_high: float | None = None
    note: str | None = None
    """Why the times are None."""
    disk_bytes: int | None = None
    artifact_bytes: int | None = None
    queued_jobs: int
    max_queued_jobs: int
    able_workers: int
    warnings: list[str] = Field(default=[])


def _cells(point: Point) -> Iterator[tuple[str, Any]]:
    yield from (("position", point.position), ("job_id", point.job_id), ("state", str(point.state)))
    yield from (("pattern", point.pattern), ("preset", point.preset), ("text", point.text))
    for where, value in point.values.items():
        yield where, json.dumps(value) if isinstance(value, dict | list) else value
    for name, figure in point.figures.items():
        yield name, figure.value
        if figure.low is not None and figure.high is not None:
            yield f"{name}:low", figure.low
            yield f"{name}:high", figure.high
    yield from (("on_front", point.on_front), ("gap", point.gap))
