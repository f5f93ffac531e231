"""Sentences about targets, points and answers, the same in the API, pages, messages and the command."""

import json
from collections.abc import Mapping
from typing import Any, Final

from service.contract.recipe.names import pattern_name
from service.contract.sweeps import Over, SearchEnd, Target

_NAMES: Final = {"kl_divergence": "KL divergence", "top1_agreement": "top-1 agreement"}


def target_text(target: Target) -> str:
    """Return `perplexity on wiki-sample:test at most 5 % above the dense model's`."""
    kind, bound = target.bound
    name = target.task or _NAMES.get(target.metric, target.metric)
    place = f" on {target.dataset}" if target.dataset else ""
    limits = {
        "at_most": f"at most {bound:g}",
        "at_most_increase": f"at most {bound * 100:g} % above the dense model's",
        "at_least": f"at least {bound:g}",
        "at_most_decrease": f"at most {bound:g} below the dense model's",
    }
    return f"{name}{place} {limits[kind]}"


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
