"""Pareto front: the points that no other point beats in one measure without losing in another."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from service.contract.readings import Better
from service.errors import InvalidInput

_MOST_MEASURES: Final = 3


class Rated(Protocol):
    """Measured value with its direction of improvement, as the service and the client have it."""

    @property
    def value(self) -> float:
        """The value."""

    @property
    def better(self) -> Better | None:
        """Direction of improvement; None if there is none."""


def front(points: Sequence[Mapping[str, Rated]], names: Sequence[str]) -> frozenset[int]:
    """Return the indices of the points on the front of these figures; points that lack one of them are not on it."""
    costs = {index: cost for index, figures in enumerate(points) if (cost := _costs(figures, names)) is not None}
    best: list[tuple[float, ...]] = []
    for cost in sorted(set(costs.values())):  # only one before it can dominate it
        if not any(_dominates(other, cost) for other in best):
            best.append(cost)
    return frozenset(index for index, cost in costs.items() if cost in best)


def chosen(points: Sequence[Mapping[str, Rated]], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the full names of the measures that a caller has named; by default sparsity and the first quality measured.

    Raises:
        InvalidInput: a name is unknown, ambiguous, or has no direction of improvement.
    """
    known = {name: figure for figures in points for name, figure in figures.items() if figure.better is not None}
    if not wanted:
        quality = next((name for name in known if name.partition(":")[0] in ("perplexity", "kl_divergence", "acc")), None)
        return ("sparsity", quality) if quality and "sparsity" in known else ()
    if not 2 <= len(set(wanted)) == len(wanted) <= _MOST_MEASURES:
        raise _refused(f"name two or three different measures of {', '.join(sorted(known)) or 'the points, once there are any'}")
    try:
        return tuple(full_name(name, known) for name in wanted) if known else ()
    except ValueError as error:
        raise _refused(str(error)) from None


def full_name(name: str, known: Collection[str]) -> str:
    """Return the full name of a measure. Raises ValueError: none has this name, or several begin with it."""
    matches = [each for each in known if each == name] or [each for each in known if each.startswith(f"{name}:")]
    if len(matches) != 1:
        problem = "is ambiguous" if matches else "is not measured"
        raise ValueError(f"{name} {problem}; use one of {', '.join(matches or sorted(known)) or 'none yet'}")
    return matches[0]


def _refused(detail: str) -> InvalidInput:
    return InvalidInput(f"front: {detail}", errors=[{"pointer": "front", "detail": detail}])


def _costs(figures: Mapping[str, Rated], names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the values with the sign that makes lower better; None if one is missing."""
    values = []
    for name in names:
        figure = figures.get(name)
        if figure is None or figure.better is None:
            return None
        values.append(-figure.value if figure.better == "higher" else figure.value)
    return tuple(values) if values else None


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
