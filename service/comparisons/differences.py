"""Field-by-field diff of several job specs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.contract.json_pointer import pointer
from service.contract.spec import JobSpec


@dataclass(frozen=True)
class Difference:
    """A JSON pointer into the job spec, and each job's value there; None: missing or null."""

    pointer: str
    values: Sequence[Any]


def differences(specs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Return the fields whose values are not all equal, in the order of the spec. Lists are compared as a whole."""
    no_settings = {"name": None, "effort": None}  # the fields that an effort fills in are compared
    leaves = [dict(_leaves({**_filled_in(spec), **no_settings})) for spec in specs]
    places = dict.fromkeys(place for each in leaves for place in each)
    found = [Difference(place, [each.get(place) for each in leaves]) for place in places]
    return [each for each in found if any(value != each.values[0] for value in each.values)]


def _filled_in(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in defaults of fields that are newer than the job; a spec that is invalid today is returned as stored."""
    try:
        return JobSpec.model_validate(spec).model_dump(mode="json")
    except ValidationError:
        return spec


def _leaves(value: Mapping[str, Any], *steps: str) -> Iterator[tuple[str, Any]]:
    for name, below in value.items():
        if isinstance(below, Mapping) and below:
            yield from _leaves(below, *steps, name)
        else:
            yield pointer((*steps, name)), below
