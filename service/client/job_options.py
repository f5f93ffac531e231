"""Keywords of `client.jobs.create` and `client.jobs.plan`, and the body that they make."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from service.client.errors import InvalidOption
from service.contract.efforts import EffortName
from service.contract.gates import Gate
from service.contract.spec import JobSpec

Spec = JobSpec | Mapping[str, Any]


class JobOptions(TypedDict, total=False):
    """Most used fields of a job; the service fills in the rest."""

    name: str
    """Name in lists."""
    model: str
    source: Literal["hub", "local", "job"]
    revision: str
    token: str
    sparsity: float
    pattern: str
    """n:m, such as `2:4`: at most n of every m weights are kept."""
    preset: str
    effort: EffortName
    """Amount of calibration and evaluation where other keywords do not set it."""
    dataset: str
    """Calibration data set."""
    samples: int
    sequence_length: int
    """Tokens per calibration sample and evaluation window."""
    evaluate: Sequence[str]
    """Data sets to measure perplexity on."""
    max_windows: int
    tasks: Sequence[str]
    speed: bool
    require: Sequence[Gate | Mapping[str, Any]]
    """Gates that the pruned model has to meet."""
    formats: Sequence[Literal["dense", "packed", "mask"]]
    labels: Mapping[str, str]
    device: Literal["any", "gpu", "cpu"]
    priority: int


_PLACES: Final = {
    "name": ("name",),
    "model": ("model.id",),
    "source": ("model.source",),
    "revision": ("model.revision",),
    "token": ("model.token",),
    "preset": ("recipe.preset",),
    "effort": ("effort",),
    "dataset": ("calibration.dataset",),
    "samples": ("calibration.num_samples",),
    "sequence_length": ("calibration.sequence_length", "evaluation.sequence_length"),
    "evaluate": ("evaluation.perplexity",),
    "max_windows": ("evaluation.max_windows",),
    "tasks": ("evaluation.tasks",),
    "speed": ("evaluation.speed",),
    "require": ("evaluation.require",),
    "formats": ("output.formats",),
    "labels": ("labels",),
    "device": ("device",),
    "priority": ("priority",),
}
"""Paths in the body of each keyword."""


def body_of(spec: Spec | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a job: the spec, with what the keywords set in it.

    Raises:
        InvalidOption: an unknown keyword, two that exclude each other, or no model.
    """
    body = spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec or {})
    if unknown := sorted(options.keys() - JobOptions.__annotations__.keys()):
        raise InvalidOption(f"{unknown[0]} is no option of a job; known are {', '.join(JobOptions.__annotations__)}")
    for name, value in options.items():
        for place in _PLACES.get(name, ()):
            _put(body, place.split("."), _plain(name, value))
    if (pattern := _pattern(options.get("sparsity"), options.get("pattern"))) is not None:
        _put(body, ["recipe", "pattern"], pattern)
    if "model" not in body:
        raise InvalidOption('no model given; name one, such as model="org/name"')
    return body


def _plain(name: str, value: Any) -> Any:
    if name in ("evaluate", "tasks", "formats", "require") and isinstance(value, str | Mapping | Gate):
        raise InvalidOption(f"{name} takes a list, such as {name}=[{value!r}]")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str | int | float) or value is None:
        return value
    return [each.model_dump(mode="json", exclude_unset=True) if isinstance(each, Gate) else each for each in value]


def _put(body: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, name = path
    for parent in parents:
        body[parent] = dict(body.get(parent) or {})
        body = body[parent]
    body[name] = value


def _pattern(sparsity: float | None, groups: str | None) -> dict[str, Any] | None:
    if groups is None:
        return None if sparsity is None else {"type": "unstructured", "sparsity": sparsity}
    if sparsity is not None:
        raise InvalidOption("sparsity and pattern exclude each other: n:m fixes the sparsity; give one of them")
    n, _, m = groups.partition(":")
    if not (n.isascii() and n.isdigit() and m.isascii() and m.isdigit()):
        raise InvalidOption(f"pattern must be n:m such as 2:4 (at most 2 of every 4 weights are kept), not {groups!r}")
    return {"type": "n:m", "n": int(n), "m": int(m)}
