"""Side-by-side measurements of several jobs; only values measured under the same conditions share a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.contract.readings import Number, Quantity, readings


@dataclass(frozen=True)
class Measure:
    """The values of one quantity for all jobs."""

    quantity: Quantity
    values: Sequence[Number | None]
    """Values in the order of the jobs; None: not measured."""
    best: Sequence[int]
    """Indices of the jobs with the best value, if two or more have one."""


def measures(metrics: Sequence[Mapping[str, Any] | None]) -> list[Measure]:
    """Return a row for each quantity that was measured for at least one job."""
    found = [dict(readings(each or {})) for each in metrics]
    quantities = dict.fromkeys(quantity for each in found for quantity in each)
    return [_measure(quantity, [each.get(quantity) for each in found]) for quantity in quantities]


def _measure(quantity: Quantity, values: list[Number | None]) -> Measure:
    known = [value for value in values if value is not None]
    if quantity.better is None or len(known) < 2:
        return Measure(quantity, values, [])
    best = min(known) if quantity.better == "lower" else max(known)
    return Measure(quantity, values, [place for place, value in enumerate(values) if value == best])
