"""Comparison page; its URL contains the job ids, so that it can be shared."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from service.api.comparison_parameters import ComparedIds
from service.comparisons import operations
from service.comparisons.measures import Measure
from service.contract.gates import requirement_text
from service.dashboard.access import Reader
from service.dashboard.measure_texts import name_of
from service.dashboard.points.chart import ChartChoice, PointChart, reading_text
from service.dashboard.points.conditions import how_text
from service.dashboard.points.point import point_of
from service.dashboard.rendering import page
from service.web.dependencies import TheDatabase

router: Final = APIRouter(include_in_schema=False)

_LINES: Final = 6
"""Jobs whose errors per block are drawn: as many as there are colours."""
_Text = Annotated[str, Query(max_length=512)]


@dataclass(frozen=True)
class Line:
    """Row of the measures table."""

    name: str
    how: str
    """Measurement conditions."""
    values: list[str]
    best: int | None
    tied: frozenset[int]
    """Indices of the tied jobs, unless all tie."""
    is_tie: bool
    """Whether all measured jobs tie."""


@router.get("/compare")
def show_comparison(
    request: Request, reader: Reader, database: TheDatabase, ids: ComparedIds, y: _Text = "", on: _Text = "", scale: _Text = ""
) -> Response:
    """Show the comparison of jobs; its URL names the measure of the chart."""
    found = operations.compare(database, ids, tenant=reader.tenant)
    models = {job.model for job in found.jobs}
    points = [point for job in found.jobs if (point := point_of(job, with_model=len(models) > 1)) is not None]
    return page(
        request,
        "compare.html",
        found=found,
        lines=[line_of(each) for each in found.measures],
        lines_at_most=_LINES,
        chart=PointChart(points, ChartChoice(y, on, scale), has_one_model=len(models) == 1),
        numbers={job.id: number for number, job in enumerate(found.jobs, start=1)},
        ids=[("ids", job.id) for job in found.jobs],
        measure_name=name_of,
        format_value=_format_value,
    )


def line_of(measure: Measure) -> Line:
    """Return a measure's row, its values with half of their intervals."""
    quantity = measure.quantity
    parts = [name_of(quantity.name), quantity.on, f"{quantity.model} model" if quantity.model else None]
    values = ["–" if each is None else reading_text(quantity, each) for each in measure.readings]
    is_tie = len(measure.tied) == sum(each is not None for each in measure.readings) > 1
    tied = frozenset() if is_tie else frozenset(measure.tied)
    return Line(", ".join(filter(None, parts)), how_text(quantity), values, measure.best, tied, is_tie)


def _format_value(value: Any) -> str:
    """Format a value of a spec."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(requirement_text(each) if isinstance(each, dict) else str(each) for each in value) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
