"""Candidates of a search in the order from the safest to the most ambitious, and the gap of a point to the target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.contract.judging import dense_figure, worst_value
from service.contract.parts import FieldError
from service.contract.spec import JobSpec
from service.contract.sweeps import Over, SweepSpec
from service.contract.targets import Target, check_measured, on_data_set
from service.sweeps.points import Values, points_of, refuse
from service.sweeps.search import gap

PATTERN: Final = "/recipe/pattern"
PRESET: Final = "/recipe/preset"
SPARSITY_SLOPE: Final = 8.0
"""Expected growth of ln(damage) per unit of sparsity, until two points are known."""


@dataclass(frozen=True)
class Candidate:
    """A setting that a search may measure."""

    x: float
    """Coordinate: the sparsity, or the position in the list."""
    values: Values


def candidates(over: Over) -> list[Candidate]:
    """Return the candidates, the safest first."""
    if over.sparsity is not None:
        lowest, highest = over.sparsity
        count = math.floor((highest - lowest) / over.step + 1e-6) + 1
        shares = [round(lowest + number * over.step, 6) for number in range(count)]
        shares += [highest] if highest - shares[-1] > 1e-6 else []
        return [Candidate(share, {PATTERN: {"type": "unstructured", "sparsity": share}}) for share in shares]
    if over.patterns is not None:
        ordered = sorted(over.patterns, key=lambda pattern: pattern.pruned_share)
        return [Candidate(place, {PATTERN: each.model_dump(mode="json")}) for place, each in enumerate(ordered)]
    return [Candidate(place, {PRESET: name}) for place, name in enumerate(reversed(over.presets or []))]


def index_of(values: Values, found: Sequence[Candidate]) -> int | None:
    """Return the index of the candidate that a point measured; None if it measured none of them."""
    return next((index for index, each in enumerate(found) if each.values.items() <= values.items()), None)


def slope_of(over: Over) -> float:
    """Return the expected growth of ln(damage) per unit of the coordinate."""
    return 1.0 if over.sparsity is None else SPARSITY_SLOPE


def with_preset(values: Values, preset: str) -> Values:
    """Return the values of a candidate that is first tried with another preset."""
    return {**values, PRESET: preset}


def checked(spec: SweepSpec) -> tuple[SweepSpec, list[JobSpec]]:
    """Return the search with its data set filled in, and the jobs that its points may be: all, or the ends of a range.

    Raises:
        InvalidInput: a candidate is no valid job, or the jobs do not measure the metric.
    """
    assert spec.over is not None
    assert spec.target is not None
    found = candidates(spec.over)
    ends = [found[0], found[-1]] if spec.over.sparsity is not None else found
    settings = [each.values for each in ends]
    if spec.try_first is not None and spec.try_first == points_of(spec, settings[:1])[0].spec.recipe.preset:
        detail = "is the template's own preset; name a cheaper one, or leave it out"
        refuse([{"pointer": "/try_first", "detail": detail}])
    if spec.try_first is not None:
        settings += [with_preset(each.values, spec.try_first) for each in ends]
    jobs = [point.spec for point in points_of(spec, settings)]
    target = _measured(spec.target, jobs[0])
    return spec.model_copy(update={"target": target}), jobs


def _measured(target: Target, job: JobSpec) -> Target:
    """Return the target with its data set filled in, and refuse one that the jobs do not measure."""
    try:
        target = on_data_set(target, job.evaluation, where="/target")
        check_measured(target, job.evaluation, where="/target", part="/template/evaluation", name="template.evaluation")
    except FieldError as error:
        refuse([{"pointer": error.pointer, "detail": str(error)}])
    return target


def gap_to(target: Target, metrics: Mapping[str, Any], *, by_interval: bool) -> float:
    """Return r of `service.sweeps.search`: zero or less meets the target; by interval, at the end of it that is further away.

    The damage to perplexity is the increase of the loss, in nats per token, over the dense model's if it is known.

    Raises:
        NotMeasured
    """
    value, (kind, bound) = worst_value(target, metrics, by_interval=by_interval), target.bound
    if kind == "at_most_increase":
        return gap(math.log1p(value), math.log1p(bound))
    if target.metric == "perplexity":
        dense = dense_figure(target, metrics)
        origin = math.log(dense.value) if dense is not None else 0.0
        return gap(math.log(value) - origin, math.log(bound) - origin if bound > 0 else 0.0)
    return gap(1 - value, 1 - bound) if kind == "at_least" else gap(value, bound)
