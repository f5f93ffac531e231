"""Sentences about targets, points and answers, the same in the API, pages, messages and the command."""

import json
from collections.abc import Mapping
from typing import Any

from service.contract.recipe.names import pattern_name
from service.contract.sweeps import Over, SearchEnd
from service.contract.targets import Target, target_text


def values_text(values: Mapping[str, Any]) -> str:
    """Return the values of a point: `fast, 50 %`, or `seed 3`."""
    return ", ".join(_value_text(where, value) for where, value in values.items())


def _value_text(where: str, value: Any) -> str:
    if where == "/recipe/pattern" and isinstance(value, Mapping) and "type" in value:
        return pattern_name({"pattern": value})
    if where == "/recipe/pattern/sparsity" and isinstance(value, int | float):
        return f"{value * 100:g} %"
    if where == "/recipe/preset":
        return str(value)
    name = where.rpartition("/")[2].replace("~1", "/").replace("~0", "~").replace("_", " ")
    return f"{name} {value if isinstance(value, str | int | float) else json.dumps(value)}"


def search_text(
    target: Target, over: Over, end: SearchEnd | None, low: Mapping[str, Any] | None, high: Mapping[str, Any] | None
) -> str:
    """Return the search's answer, or the bracket so far, as one sentence."""
    goal, meets, misses = target_text(target), low and values_text(low), high and values_text(high)
    superlative = "most wanted preset" if over.presets is not None else "sparsest"
    if end is SearchEnd.NONE_MEETS:
        return f"None meets the target, {goal}: not even {misses}."
    if end is SearchEnd.ALL_MEET:
        return f"All meet the target, {goal}: even {meets}."
    if end is SearchEnd.FOUND:
        return f"{meets} is the {superlative} that meets the target, {goal}; {misses} does not."
    between = f"{meets or 'no candidate'} meets the target, {goal}" + (f"; {misses} does not" if misses else "")
    return f"{between}; candidates between were not measured." if end is SearchEnd.POINTS_SPENT else f"So far {between}."
