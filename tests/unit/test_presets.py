"""The recipe exists twice on purpose, in the contract and in the engine: they fill in the same and refuse the same."""

from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from service.contract.parts import FieldError
from service.contract.presets import PRESETS
from service.contract.recipe import RecipeSpec
from worker.engine import Recipe
from worker.engine.recipe import presets as engine

_TWO_OF_FOUR = {"type": "n:m", "n": 2, "m": 4}
_GIVEN: list[dict[str, Any]] = [
    {},
    *({"preset": name} for name in PRESETS),
    {"preset": "fast", "refinement": {"max_swaps": 7}},
    {"preset": "balanced", "refinement": {"max_swaps": 7}, "pattern": _TWO_OF_FOUR},
    {"preset": "balanced", "refinement": {"method": "swaps"}},
    {"preset": "balanced", "objective": "layerwise", "refinement": {"method": "none"}},
    {"preset": "balanced", "objective": "layerwise", "refinement": {"method": "dsnot"}},
    {"preset": "balanced", "update": {"method": "least_squares"}},
    {"preset": "best", "update": {"iterations": 5}},
    {"preset": "best", "update": {"mask": "given", "damping": 0}, "refinement": {"method": "dsnot"}, "objective": "layerwise"},
    {"preset": "best", "update": {"method": "least_squares"}},
    {"preset": "best", "refinement": {}},
    {"preset": "dsnot-paper", "refinement": {"max_cycles": 7}},
    {"preset": "dsnot-paper", "refinement": {"method": "none"}},
    {"preset": "dsnot-paper", "update": {"method": "obs"}},
    {"preset": "dsnot-reference", "pattern": _TWO_OF_FOUR, "refinement": {"targets": "all"}},
    {"preset": None, "pattern": {"sparsity": 0.75}, "criterion": "magnitude"},
    {"refinement": {"method": "dsnot", "variance_power": 0.0, "accept": "always"}},
    {"refinement": {"method": "swaps"}},
    {"update": {}},
    {"update": {"method": "obs"}, "criterion": "obs"},
    {"update": {"method": "obs"}, "refinement": {}},
    {"update": {"method": "obs", "damping": 999}, "pattern": _TWO_OF_FOUR},
    {"update": {"method": "least_squares"}, "allocation": "owl"},
    {"update": {"method": "admm"}, "allocation": "arithmetic"},
    {"update": {"method": "admm", "mask": "given"}, "refinement": {"max_cycles": 3}},
]


@pytest.mark.parametrize("given", _GIVEN)
def test_contract_and_engine_complete_recipes_equally(given: dict[str, Any]) -> None:
    assert RecipeSpec.model_validate(given).model_dump(mode="json") == Recipe.from_dict(given).to_dict()


@pytest.mark.parametrize("given", _GIVEN)
def test_a_completed_recipe_is_unchanged(given: dict[str, Any]) -> None:
    filled = RecipeSpec.model_validate(given).model_dump(mode="json")
    assert RecipeSpec.model_validate(filled).model_dump(mode="json") == filled
    assert Recipe.from_dict(filled).to_dict() == filled


def test_contract_and_engine_have_the_same_presets() -> None:
    assert {name: preset.recipe for name, preset in PRESETS.items()} == engine.PRESETS
    assert set(PRESETS) == set(engine.Preset)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_completed_as_documented(name: str) -> None:
    filled = Recipe.from_dict({"preset": name}).to_dict()
    for field, wanted in PRESETS[name].recipe.items():
        assert filled[field] == (filled[field] | wanted if isinstance(wanted, dict) else wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"preset": "finest"},
        {"preset": ["fast"]},
        {"criterion": "random"},
        {"criterion": None},
        {"allocation": "random"},
        {"objective": "blockwise"},
        {"pattern": {"type": "n:m", "n": 4, "m": 4}},
        {"pattern": {"type": "n:m", "n": 2, "m": 1025}},
        {"pattern": {"type": "n:m", "n": 2}},
        {"pattern": {"sparsity": 1.0}},
        {"pattern": {"sparsity": -0.1}},
        {"pattern": {"sparsity": True}},
        {"refinement": None},
        {"refinement": "swaps"},
        {"refinement": {"max_cycles": 0}},
        {"refinement": {"max_cycles": 10_001}},
        {"refinement": {"method": "none", "max_cycles": 3}},
        {"refinement": {"method": "swaps", "max_cycles": 3}},
        {"refinement": {"method": "swaps", "max_swaps": 0}},
        {"refinement": {"method": "swaps", "max_swaps": 1_000_001}},
        {"refinement": {"method": "swaps", "max_swaps": 1.0}},
        {"refinement": {"max_swaps": 3}},
        {"refinement": {"accept": "sometimes"}},
        {"preset": "fast", "refinement": {"max_cycles": 3}},
        {"preset": "balanced", "refinement": {"method": "dsnot"}},
        {"preset": "balanced", "update": {"method": "admm"}},
        {"preset": "best", "criterion": "ria"},
        {"update": "admm"},
        {"update": {"method": "unknown"}},
        {"update": {"method": ["obs"]}},
        {"update": {"damping": 0.1}},
        {"update": {"method": "obs", "damping": -0.1}},
        {"update": {"method": "obs", "damping": 1000}},
        {"update": {"method": "obs", "damping": float("nan")}},
        {"update": {"method": "obs", "iterations": 3}},
        {"update": {"method": "least_squares", "mask": "given"}},
        {"update": {"method": "least_squares", "damping": "0.1"}},
        {"update": {"method": "admm", "iterations": 0}},
        {"update": {"method": "admm", "iterations": 1001}},
        {"update": {"method": "admm", "mask": "none"}},
        {"update": {"method": "admm", "max_swaps": 3}},
        {"unknown": 1},
    ],
)
def test_contract_and_engine_refuse_the_same_recipes(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        RecipeSpec.model_validate(given)
    with pytest.raises(ValueError, match=r"."):
        Recipe.from_dict(given)


_METHODS = ("none", "obs", "least_squares", "joint", "given")  # of the update; the last two are ADMM's
_FOLLOWING = {
    ("swaps", "none"),
    ("swaps", "least_squares"),
    ("swaps", "given"),
    ("none", "least_squares"),
    ("none", "given"),
    ("none", "joint"),
}
"""The refinements and updates that the objective `propagated` is of use to."""


def _wrong_field(criterion: str, allocation: str, objective: str, refinement: str, update: str, pattern: str) -> str | None:
    """The field that has to be refused, by the rules written down as sets."""
    wrong = {
        "allocation": pattern == "n:m" and allocation in {"owl", "arithmetic"},
        "update/mask": update == "joint" and refinement in {"dsnot", "swaps"},
        "criterion": update == "joint" and criterion in {"magnitude", "ria", "obs"},
        "objective": objective == "propagated" and (refinement, update) not in _FOLLOWING,
    }
    return next((field for field, is_wrong in wrong.items() if is_wrong), None)


@pytest.mark.parametrize("refinement", ["none", "dsnot", "swaps"])
@pytest.mark.parametrize("update", _METHODS)
def test_both_accept_the_same_recipes_or_name_the_same_field(refinement: str, update: str) -> None:
    is_admm = update in ("joint", "given")
    for criterion, allocation, objective, pattern in product(
        ("magnitude", "wanda", "ria", "obs"),
        ("uniform", "owl", "arithmetic"),
        ("layerwise", "propagated"),
        ("unstructured", "n:m"),
    ):
        given = {
            "criterion": criterion,
            "allocation": allocation,
            "objective": objective,
            "pattern": {"type": pattern} | ({"n": 2, "m": 4} if pattern == "n:m" else {}),
            "refinement": {"method": refinement},
            "update": {"method": "admm", "mask": update} if is_admm else {"method": update},
        }
        wrong = _wrong_field(criterion, allocation, objective, refinement, update, pattern)
        assert _refused_by_the_contract(given) == wrong
        assert _refused_by_the_engine(given) == wrong


def _refused_by_the_contract(given: dict[str, Any]) -> str | None:
    try:
        RecipeSpec.model_validate(given)
    except ValidationError as refused:
        (error,) = refused.errors()
        cause = error["ctx"]["error"]
        assert isinstance(cause, FieldError)
        return cause.pointer.removeprefix("/")
    return None


def _refused_by_the_engine(given: dict[str, Any]) -> str | None:
    try:
        Recipe.from_dict(given)
    except ValueError as refused:
        return str(refused).split()[0].removeprefix("recipe.").replace(".", "/")
    return None


def test_an_update_without_refinement_has_none() -> None:
    for method in ("obs", "least_squares", "admm"):
        assert Recipe.from_dict({"update": {"method": method}}).to_dict()["refinement"] == {"method": "none"}
    assert Recipe.from_dict({"update": {"method": "none"}}).to_dict()["refinement"]["method"] == "dsnot"
    assert Recipe.from_dict({"update": {"method": "obs"}, "refinement": {}}).to_dict()["refinement"]["method"] == "dsnot"
