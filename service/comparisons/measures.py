"""Side-by-side measurements of several jobs; only values measured under the same conditions share a row.

A job is the best of a row only if it is ahead of every other beyond the uncertainty of the measurements. Two perplexities are
compared by their increases of the loss over the dense model's on the same windows, if it was measured; their standard errors
are combined as if they were independent. They are not: the same windows are hard for both, so that the interval is too wide
rather than too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.contract.readings import RATES, Z95, Estimate, Number, Quantity, Reading, readings

_TOLERANCES: Final = {"seconds": 0.05, "peak_host_bytes": 0.05, "peak_device_bytes": 0.05}
"""Relative differences below which runs are not distinguished: the same job varies that much."""
_ROUNDING: Final = 0.0005
"""Relative difference of exact figures that their text does not show."""
_EXACT: Final = frozenset({"layer_error", "artifact_bytes", "packed_bytes"})
_SAME_BASELINE: Final = 1e-4
"""Relative difference of two measurements of the same dense model on different devices, at most."""


@dataclass(frozen=True)
class Measure:
    """The readings of one quantity for all jobs."""

    quantity: Quantity
    readings: Sequence[Reading | None]
    """Readings in the order of the jobs; None: not measured."""
    best: int | None = None
    """Index of the job that is ahead of all others beyond their uncertainty; None without one."""
    tied: Sequence[int] = ()
    """Indices of the jobs of which one is the best, but it cannot be said which."""

    @property
    def values(self) -> list[Number | None]:
        """The values in the order of the jobs."""
        return [None if each is None else each.value for each in self.readings]


def measures(metrics: Sequence[Mapping[str, Any] | None]) -> list[Measure]:
    """Return a row for each quantity that was measured for at least one job."""
    found = [dict(readings(each or {})) for each in metrics]
    quantities = dict.fromkeys(quantity for each in found for quantity in each)
    return [_measure(quantity, [each.get(quantity) for each in found]) for quantity in quantities]


def _measure(quantity: Quantity, found: list[Reading | None]) -> Measure:
    known = {place: reading for place, reading in enumerate(found) if reading is not None}
    if quantity.better is None or len(known) < 2:
        return Measure(quantity, found)
    choose = min if quantity.better == "lower" else max
    leader = choose(known, key=lambda place: known[place].value)
    verdicts = {place: is_ahead(quantity, known[leader], known[place]) for place in known if place != leader}
    if None in verdicts.values():
        return Measure(quantity, found)
    level = [leader, *(place for place, is_behind in verdicts.items() if not is_behind)]
    return Measure(quantity, found, leader) if len(level) == 1 else Measure(quantity, found, None, sorted(level))


def is_ahead(quantity: Quantity, one: Reading, other: Reading) -> bool | None:
    """Return whether the better of two values is better beyond their uncertainty; None if that is unknown."""
    if one.value == other.value:
        return False
    if quantity.name in _EXACT or quantity.name in _TOLERANCES:
        tolerance = _TOLERANCES.get(quantity.name, _ROUNDING)
        return not math.isclose(one.value, other.value, rel_tol=tolerance)
    if quantity.name in RATES:
        return one.interval[0] > other.interval[1] if one.interval and other.interval else None
    estimates = _comparable(one, other)
    if estimates is None:
        return None
    ahead = estimates[0].mean - estimates[1].mean
    if quantity.better == "lower":
        ahead = -ahead
    return ahead > Z95 * math.hypot(estimates[0].error, estimates[1].error)


def _comparable(one: Reading, other: Reading) -> tuple[Estimate, Estimate] | None:
    """Return the paired estimates of both, if they refer to the same dense model, else their own."""
    if one.paired and other.paired and one.paired.error and other.paired.error:
        first, second = one.paired.baseline, other.paired.baseline
        if first and second and math.isclose(first, second, rel_tol=_SAME_BASELINE):
            return one.paired, other.paired
    return (one.own, other.own) if one.own and other.own else None
