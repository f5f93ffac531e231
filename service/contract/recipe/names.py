"""Names of a stored recipe's pattern and methods as text, for lists, pages and commands."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from service.contract.recipe.pattern import Pattern

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
