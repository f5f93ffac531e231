"""Comparison page; its URL contains the job ids, so that it can be shared."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from service.api.comparison_parameters import ComparedIds
from service.comparisons import operations
from service.comparisons.measures import Measure
from service.dashboard.access import Reader
from service.dashboard.measure_texts import name_of, value_text
from service.dashboard.rendering import page
from service.web.dependencies import TheDatabase

router: Final = APIRouter(include_in_schema=False)

_CONDITIONS: Final = {
    "sequence_length": "tokens per window",
    "few_shot": "shots",
    "new_tokens": "new tokens",
    "bos_per_window": "BOS per window",
}


@dataclass(frozen=True)
class Line:
    """Row of the measures table."""

    name: str
    how: str
    """Measurement conditions."""
    values: list[str]
    best: frozenset[int]


@router.get("/compare")
def show_comparison(request: Request, reader: Reader, database: TheDatabase, ids: ComparedIds) -> Response:
    """Show the comparison of jobs."""
    found = operations.compare(database, ids, tenant=reader.tenant)
    return page(
        request,
        "compare.html",
        found=found,
        lines=[line_of(each) for each in found.measures],
        format_value=_format_value,
    )


def line_of(measure: Measure) -> Line:
    """Return a measure's row. Equal formatted values share the mark `best`; if all are equal, none has it."""
    quantity = measure.quantity
    parts = [name_of(quantity.name), quantity.on, f"{quantity.model} model" if quantity.model else None]
    how = ", ".join(f"{value:,} {_CONDITIONS.get(what, what.replace('_', ' '))}" for what, value in quantity.conditions)
    values = [value_text(quantity.name, value) for value in measure.values]
    best = {values[place] for place in measure.best}
    marked = frozenset(place for place, value in enumerate(values) if value in best)
    return Line(", ".join(filter(None, parts)), how, values, marked if len(marked) < len(values) else frozenset())


def _format_value(value: Any) -> str:
    """Format a value of a spec."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
