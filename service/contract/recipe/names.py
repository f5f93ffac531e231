"""Names of a stored recipe's pattern and methods as text, for lists, pages and commands."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from service.contract.recipe.pattern import Pattern
from service.contract.recipe.presets import PRESETS
from service.contract.recipe.recipe import Recipe

_PATTERN: Final[TypeAdapter[Pattern]] = TypeAdapter(Pattern)
_USUAL: Final = {"allocation": "uniform", "objective": "layerwise"}


def pattern_name(recipe: Mapping[str, Any]) -> str:
    """Return `50 %` or `2:4`."""
    return str(_PATTERN.validate_python(recipe["pattern"]))


def recipe_name(recipe: Mapping[str, Any]) -> str:
    """Return `wanda, then swaps, propagated`, or `admm` if that selects the mask itself."""
    update = recipe["update"]
    steps = [recipe["refinement"]["method"], update["method"]]
    if update.get("mask") != "joint":
        steps.insert(0, recipe["criterion"])
    special = [value for name, usual in _USUAL.items() if (value := recipe.get(name, usual)) != usual]
    return ", ".join([", then ".join(step for step in steps if step != "none"), *special])


def short_recipe_name(recipe: Mapping[str, Any]) -> str:
    """Return the preset, `balanced` or `balanced, changed`; without one the methods as `recipe_name` does."""
    preset = recipe.get("preset")
    if not preset:
        return recipe_name(recipe)
    usual = _filled_in(preset) if preset in PRESETS else {}
    is_unchanged = all(usual.get(name, value) == value for name, value in recipe.items() if name != "pattern")
    return str(preset) if is_unchanged else f"{preset}, changed"


@cache
def _filled_in(preset: str) -> Mapping[str, Any]:
    return Recipe.model_validate({"preset": preset}).model_dump(mode="json")
