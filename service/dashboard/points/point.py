"""Points of a chart: a job's pattern, recipe and readings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from service.contract.readings import Quantity, Reading, ratio, readings
from service.contract.recipe.names import pattern_name, short_recipe_name
from service.contract.recipe.pattern import Pattern
from service.contract.recipe.presets import PRESETS
from service.dashboard.points.repository import MeasuredJob
from service.database.tables.jobs import Job

RATIO: Final = "perplexity_ratio"
_PATTERN: Final[TypeAdapter[Pattern]] = TypeAdapter(Pattern)


@dataclass(frozen=True)
class Point:
    """Measured job."""

    job: UUID
    pattern: str
    share: float
    """Share of zeros of the pattern."""
    is_grouped: bool
    """Whether the pattern is n:m."""
    recipe: str
    """Preset, with a mark if it is changed, or the recipe's methods."""
    line: str
    """Key of the line that joins it: points of a line differ in their sparsity only."""
    preset: str | None
    """Preset that the recipe is without a change; None without one."""
    found: Mapping[Quantity, Reading]

    @property
    def sparsity(self) -> float:
        """Share of zeros reached in the pruned matrices."""
        reading = self.found.get(Quantity("sparsity"))
        return self.share if reading is None else float(reading.value)


def points_of(jobs: Iterable[MeasuredJob]) -> list[Point]:
    """Return the points of jobs; jobs that another version of the service stored in an unknown form are omitted."""
    return [point for job in jobs if (point := _point(job)) is not None]


def point_of(job: Job, *, with_model: bool) -> Point | None:
    """Return the point of a job in any state, its model in the series' name if wished; None without a readable recipe."""
    spec = job.spec
    model, recipe, calibration = (spec.get(name) or {} for name in ("model", "recipe", "calibration"))
    point = _point(MeasuredJob(job.id, model, recipe, calibration, job.metrics or {}))
    if point is None or not with_model:
        return point
    return replace(point, recipe=f"{job.model}, {point.recipe}", line=f"{job.model} {point.line}")


def _point(job: MeasuredJob) -> Point | None:
    recipe = job.recipe
    try:
        pattern = _PATTERN.validate_python(recipe["pattern"])
        name, found = short_recipe_name(recipe), dict(readings(job.metrics))
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        return None
    for quantity, reading in list(found.items()):
        if (quantity.name, quantity.model) == ("perplexity", "pruned") and (multiple := ratio(reading)):
            found[Quantity(RATIO, "pruned", quantity.on, quantity.conditions)] = multiple
    calibration = sorted((key, str(value)) for key, value in job.calibration.items())
    is_grouped = pattern.group is not None
    line = f"{name} {is_grouped} {calibration}"
    preset = name if name in PRESETS else None
    return Point(job.id, pattern_name(recipe), pattern.pruned_share, is_grouped, name, line, preset, found)
