"""Progress of a search: the points measured so far, the next one, and the answer."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Any

from service.contract.judging import NotMeasured
from service.contract.sweeps import SearchEnd, SweepSpec
from service.sweeps.candidates import PRESET, Candidate, candidates, gap_to, index_of, slope_of, with_preset
from service.sweeps.points import Values
from service.sweeps.search import Bracket, bracket, end_of, next_candidate, slope_through, zero_of


class SearchFailed(Exception):
    """Search that cannot continue; the message says why."""


@dataclass(frozen=True)
class Measured:
    """A point that has succeeded."""

    position: int
    values: Values
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """State of a search after the points so far."""

    bracket: Bracket
    """In indices of `candidates`."""
    candidates: Sequence[Candidate]
    positions: Mapping[int, int]
    """Position of the point that measured a candidate, by its index."""
    end: SearchEnd | None
    next_values: Values | None
    """Values of the next point; None if the search has ended."""
    is_monotone: bool
    """Whether every measured candidate below one that meets the target meets it, too."""


def progress(spec: SweepSpec, measured: Sequence[Measured]) -> Progress:
    """Return the progress of a search whose points have all succeeded. Raises SearchFailed: a point lacks the metric."""
    assert spec.over is not None
    found = candidates(spec.over)
    is_first = [spec.try_first is not None and PRESET in each.values for each in measured]
    first = _gaps(spec, _by_index(compress(measured, is_first), found))
    counted = _by_index(compress(measured, map(not_, is_first)), found)
    gaps, positions = _gaps(spec, counted), {index: each.position for index, each in counted.items()}
    end = end_of(gaps, len(found), max_points=spec.max_points - len(first)) if gaps else None
    following = None if end else _next_values(spec, found, first, gaps)
    known = bracket(gaps)
    is_monotone = known.low is None or all(r <= 0 for index, r in gaps.items() if index < known.low)
    return Progress(known, found, positions, end, following, is_monotone)


def _next_values(spec: SweepSpec, found: Sequence[Candidate], first: Mapping[int, float], gaps: Mapping[int, float]) -> Values:
    """Return the values of the next point, given the gaps of the preset that is tried first, and of the wanted recipe."""
    assert spec.over is not None
    x = [each.x for each in found]
    start, slope = (len(x) - 1) // 2, slope_of(spec.over)
    if spec.try_first is not None and not gaps:
        index = _next_first(x, first, start, slope, spec.max_points)
        if index is not None:
            return with_preset(found[index].values, spec.try_first)
    if first:
        start, slope = _start_after(x, first), slope_through(x, first) or slope
    index = next_candidate(x, gaps, start=start, slope=slope, left=spec.max_points - len(first) - len(gaps))
    assert index is not None
    return found[index].values


def _next_first(x: Sequence[float], gaps: Mapping[int, float], start: int, slope: float, max_points: int) -> int | None:
    """Return the next candidate for the preset that is tried first; None once it has a bracket, or half the points are spent."""
    known = bracket(gaps)
    has_both = known.low is not None and known.high is not None
    if has_both or end_of(gaps, len(x), max_points=max_points // 2) is not None:
        return None
    return next_candidate(x, gaps, start=start, slope=slope, left=max_points // 2 - len(gaps))


def _start_after(x: Sequence[float], gaps: Mapping[int, float]) -> int:
    """Return the candidate at the target by the first preset's curve; a better preset meets the target there, or nearly."""
    known = bracket(gaps)
    if known.low is None or known.high is None:
        return known.low if known.low is not None else known.high or 0
    return bisect_right(x, zero_of(x, gaps, known.low, known.high) + 1e-9) - 1


def _gaps(spec: SweepSpec, measured: Mapping[int, Measured]) -> dict[int, float]:
    assert spec.target is not None
    gaps = {}
    for index, each in measured.items():
        try:
            gaps[index] = gap_to(spec.target, each.metrics, by_interval=spec.judge_by == "interval")
        except NotMeasured as error:
            raise SearchFailed(f"point {each.position}: {error}") from None
    return gaps


def _by_index(measured: Iterable[Measured], found: Sequence[Candidate]) -> dict[int, Measured]:
    return {index: each for each in measured if (index := index_of(each.values, found)) is not None}
