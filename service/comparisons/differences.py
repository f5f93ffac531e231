"""In what the specs of several jobs differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.contract import JobSpec
from service.kit.json_pointer import pointer


@dataclass(frozen=True)
class Difference:
    """A place in the body of a job, and what each job has there; None: nothing, or null."""

    pointer: str
    values: Sequence[Any]


def differences(specs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The places where not all have the same, in the order of the body. Lists are told whole."""
    leaves = [dict(_leaves(_filled_in(spec))) for spec in specs]
    places = dict.fromkeys(place for each in leaves for place in each)
    found = [Difference(place, [each.get(place) for each in leaves]) for place in places]
    return [each for each in found if any(value != each.values[0] for value in each.values)]


def _filled_in(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the defaults of fields that came after the job; one that would be refused today is taken as it was stored."""
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
