"""Points of a sweep: job specs made from its template, and the values that each sets there."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations, product
from math import prod
from typing import Any, Final

from pydantic import ValidationError

from service.contract.display_names import MAX_NAME
from service.contract.json_pointer import pointer, steps_of
from service.contract.spec import JobSpec
from service.contract.sweeps import MAX_POINTS, SweepSpec
from service.contract.validation_errors import errors_of
from service.errors import InvalidInput
from service.jobs.least_memory import UNKNOWN, LeastMemory

_SHOWN: Final = 5
"""Points named in an error that several share."""
Values = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One job of a sweep."""

    position: int
    values: Values
    """Values set in the template, by JSON pointer."""
    spec: JobSpec
    least: LeastMemory = UNKNOWN
    """Smallest memory in which the job can run."""


class Misfit(Exception):
    """A point whose body is no valid job: its errors, with pointers into the body."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__()
        self.errors = errors


def grid(spec: SweepSpec) -> list[Point]:
    """Return the combinations of the axes; the last axis varies fastest.

    Raises:
        InvalidInput: an axis names no field, values do not fit it, or there are too many points. Names all errors at once.
    """
    assert spec.axes is not None
    _check_axes(spec.axes)
    return points_of(spec, [dict(zip(spec.axes, values, strict=True)) for values in product(*spec.axes.values())])


def points_of(spec: SweepSpec, settings: Sequence[Values]) -> list[Point]:
    """Return a point for each setting. Raises InvalidInput, naming every setting that is no valid job."""
    points: list[Point] = []
    misfits: dict[int, Sequence[dict[str, str]]] = {}
    for position, values in enumerate(settings):
        try:
            points.append(Point(position, values, job_spec(spec.template, values)))
        except Misfit as misfit:
            misfits[position] = misfit.errors
    refuse(refused_points(spec, settings, misfits))
    return points


def refused_points(
    spec: SweepSpec, settings: Sequence[Values], misfits: Mapping[int, Sequence[Mapping[str, str]]]
) -> list[dict[str, str]]:
    """Return the errors of points' jobs, by position, as errors of the sweep's body; equal ones once, with their points."""
    refused: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for position, errors in misfits.items():
        for error in errors:
            refused[_origin(error["pointer"], spec, settings[position]), error["detail"]].append(position)
    return list(_named(refused, settings))


def refuse(errors: list[dict[str, str]]) -> None:
    """Raise InvalidInput if there are errors."""
    if errors:
        raise InvalidInput("; ".join(f"{each['pointer']}: {each['detail']}" for each in errors), errors=errors)


def job_spec(template: Mapping[str, Any], values: Mapping[str, Any]) -> JobSpec:
    """Return the job of a template with these values set. Raises Misfit."""
    body = deepcopy(dict(template))
    for where, value in values.items():
        _set(body, steps_of(where), deepcopy(value), where)
    try:
        return JobSpec.model_validate(body)
    except ValidationError as error:
        raise Misfit(errors_of(error, body)) from None


def named(spec: JobSpec, sweep: str | None, position: int) -> JobSpec:
    """Return the job of a point, named `SWEEP #3` unless the template names it or the sweep has no name."""
    if spec.name is not None or sweep is None:
        return spec
    place = f" #{position}"
    return spec.model_copy(update={"name": sweep[: MAX_NAME - len(place)] + place})


def axis_pointer(where: str, index: int) -> str:
    """Return the JSON pointer to a value of an axis in a sweep's body."""
    return pointer(("axes", where, index))


def _check_axes(axes: Mapping[str, list[Any]]) -> None:
    refuse(list(_axis_errors(axes)))
    count = prod(map(len, axes.values()))
    if count > MAX_POINTS:
        sizes = " × ".join(str(len(values)) for values in axes.values())
        refuse([{"pointer": "/axes", "detail": f"{sizes} are {count} points; a sweep has at most {MAX_POINTS}"}])


def _axis_errors(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, str]]:
    for where, values in axes.items():
        at = pointer(("axes", where))
        if not where.startswith("/"):
            yield {"pointer": at, "detail": "must be a JSON pointer into the template, such as /recipe/preset"}
        if not values:
            yield {"pointer": at, "detail": "give at least one value"}
        if len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
            yield {"pointer": at, "detail": "names a value twice; name each once"}
    for one, other in combinations(sorted(axes), 2):
        if (other + "/").startswith(one + "/"):
            yield {"pointer": pointer(("axes", other)), "detail": f"is within the axis {one}; put both into one axis"}


def _set(body: Any, steps: Sequence[str], value: Any, where: str) -> None:
    *path, last = steps
    here = body
    for step in path:
        if isinstance(here, dict):
            if here.get(step) is None:
                here[step] = {}
            here = here[step]
        else:
            here = _member(here, step, where)
    if isinstance(here, dict):
        here[last] = value
    else:
        _member(here, last, where)
        here[int(last)] = value


def _member(here: Any, step: str, where: str) -> Any:
    if not isinstance(here, list) or not (step.isascii() and step.isdecimal()) or int(step) >= len(here):
        raise Misfit([{"pointer": where, "detail": "names no field of the template"}])
    return here[int(step)]


def _origin(where: str, spec: SweepSpec, values: Values) -> str:
    """Return the pointer into the sweep's body to what a job's field was set by: a value of an axis, or the template."""
    for axis, value in values.items():
        if (where + "/").startswith(axis + "/") or (axis + "/").startswith(where + "/"):
            if spec.axes is None:
                return "/over"
            rest = where[len(axis) :] if where.startswith(axis) else ""
            return axis_pointer(axis, spec.axes[axis].index(value)) + rest
    return f"/template{where}"


def _named(refused: Mapping[tuple[str, str], list[int]], settings: Sequence[Values]) -> Iterator[dict[str, str]]:
    for (where, detail), positions in refused.items():
        if len(positions) == len(settings):
            yield {"pointer": where, "detail": detail}
            continue
        shown = "; ".join(_described(settings[position]) for position in positions[:_SHOWN])
        more = f" and {len(positions) - _SHOWN} more" if len(positions) > _SHOWN else ""
        yield {"pointer": where, "detail": f"{detail} (at {shown}{more})"}


def _described(values: Values) -> str:
    return ", ".join(f"{where} {json.dumps(value)}" for where, value in values.items())
