"""Recipe choices for forms: kinds, settings and valid combinations.

Valid combinations are found by validating each against the contract, so that the form always agrees with the API.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

from pydantic import ValidationError

from service.contract.recipe.choices import Criterion
from service.contract.recipe.presets import PRESETS
from service.contract.recipe.recipe import Recipe
from service.contract.spec import JobSpec
from service.recipes import operations as recipes
from service.recipes.schemas import ChoiceView

_JOINT: Final = "joint"


@dataclass(frozen=True)
class Setting:
    """Field of a kind."""

    pointer: str
    name: str
    schema: Mapping[str, Any]
    kinds: Sequence[str]
    """Kinds of the choice for which the setting is shown."""


@dataclass(frozen=True)
class Kind:
    """Value of a choice, and its representation in a job's body."""

    name: str
    summary: str
    body: Any


@dataclass(frozen=True)
class Choice:
    """Form field of a recipe, with its kinds and their settings."""

    pointer: str
    title: str
    kinds: Sequence[Kind]
    settings: Sequence[Setting]


@cache
def choices() -> Sequence[Choice]:
    """Return the choices in form order: each offers only kinds compatible with the earlier ones."""
    known = recipes.describe()
    return [
        _of_objects("/recipe/pattern", "Pattern", "type", known.patterns),
        _of_objects("/recipe/update", "Update", "method", known.updates),
        _of_objects("/recipe/refinement", "Refinement", "method", known.refinements),
        _of_names("/recipe/objective", "Objective", known.objectives),
        _of_names("/recipe/criterion", "Criterion", known.criteria),
        _of_names("/recipe/allocation", "Allocation", known.allocations),
    ]


def _of_names(pointer: str, title: str, views: Sequence[ChoiceView]) -> Choice:
    return Choice(pointer, title, [Kind(each.name, each.summary, each.name) for each in views], [])


def _of_objects(pointer: str, title: str, tag: str, views: Sequence[ChoiceView]) -> Choice:
    """Return the choice of an object field; a kind with a joint mask is split, because valid combinations differ."""
    kinds, settings = [], []
    for view in views:
        bodies = _bodies(view, tag)
        kinds += [Kind(name, view.summary, body) for name, body in bodies.items()]
        shown = {name: schema for name, schema in view.options.items() if not _decides_kind(name, schema)}
        settings += [Setting(f"{pointer}/{name}", name, schema, list(bodies)) for name, schema in shown.items()]
    return Choice(pointer, title, kinds, settings)


def _bodies(view: ChoiceView, tag: str) -> dict[str, dict[str, Any]]:
    for name, schema in view.options.items():
        if _decides_kind(name, schema):
            return {f"{view.name}, {name} {value}": {tag: view.name, name: value} for value in schema["enum"]}
    return {view.name: {tag: view.name}}


def _decides_kind(name: str, schema: Mapping[str, Any]) -> bool:
    return name == "mask" and _JOINT in schema.get("enum", ())


@cache
def fitting() -> Sequence[Sequence[int]]:
    """Return every valid combination, as indices of the kinds in `choices()`."""
    places = product(*(range(len(choice.kinds)) for choice in choices()))
    return [each for each in places if _is_taken(_recipe(each))]


@cache
def kinds_with_mask() -> Sequence[str]:
    """Return the updates that allow the output format `mask` alone."""
    return [
        kind.name
        for kind in _choice("/recipe/update").kinds
        if _fits({"recipe": {"update": kind.body, "refinement": {"method": "none"}}, "output": {"formats": ["mask"]}})
    ]


def _choice(pointer: str) -> Choice:
    return next(choice for choice in choices() if choice.pointer == pointer)


def _recipe(places: Sequence[int]) -> dict[str, Any]:
    return {name: _whole(body) for name, body in _named(places)}


def _named(places: Sequence[int]) -> Iterator[tuple[str, Any]]:
    for choice, place in zip(choices(), places, strict=True):
        yield choice.pointer.rpartition("/")[2], choice.kinds[place].body


def _whole(body: Any) -> Any:
    """Return the body with required fields that have no default."""
    return {**body, "n": 2, "m": 4} if isinstance(body, dict) and body.get("type") == "n:m" else body


def _is_taken(recipe: Mapping[str, Any]) -> bool:
    return _fits({"recipe": recipe})


def _fits(body: Mapping[str, Any]) -> bool:
    try:
        JobSpec.model_validate({"model": {"id": "any"}, **body})
    except ValidationError:
        return False
    return True


@cache
def filled_presets() -> Mapping[str, Any]:
    """Return the recipe of each preset with all defaults; the empty name is the recipe without a preset."""
    plain = Recipe.model_validate({"criterion": Criterion.WANDA})
    named = {name: Recipe.model_validate({"preset": name}) for name in PRESETS}
    return {name: spec.model_dump(mode="json") for name, spec in {"": plain, **named}.items()}
