"""The recipe exists twice on purpose, in the contract and in the engine: they fill in the same."""

from typing import Any

import pytest

from service.contract import PRESETS
from service.contract.spec import RecipeSpec
from worker.engine import Recipe

_GIVEN: list[dict[str, Any]] = [
    {},
    *({"preset": name} for name in PRESETS),
    *({"preset": name, "refinement": {"max_cycles": 7}} for name in PRESETS),
    {"preset": "dsnot-paper", "refinement": {"method": "none"}},
    {"preset": "dsnot-reference", "pattern": {"type": "n:m", "n": 2, "m": 4}, "refinement": {"targets": "all"}},
    {"pattern": {"sparsity": 0.75}, "criterion": "magnitude"},
    {"refinement": {"method": "dsnot", "variance_power": 0.0, "accept": "always"}},
]


@pytest.mark.parametrize("given", _GIVEN)
def test_contract_and_engine_fill_a_recipe_in_alike(given: dict[str, Any]) -> None:
    assert RecipeSpec.model_validate(given).model_dump(mode="json") == Recipe.from_dict(given).to_dict()


@pytest.mark.parametrize("given", _GIVEN)
def test_a_recipe_that_was_filled_in_stays_as_it_is(given: dict[str, Any]) -> None:
    filled = RecipeSpec.model_validate(given).model_dump(mode="json")
    assert RecipeSpec.model_validate(filled).model_dump(mode="json") == filled
    assert Recipe.from_dict(filled).to_dict() == filled


@pytest.mark.parametrize(
    "given",
    [
        {"preset": "best"},
        {"criterion": "random"},
        {"pattern": {"type": "n:m", "n": 4, "m": 4}},
        {"pattern": {"type": "n:m", "n": 2}},
        {"pattern": {"sparsity": 1.0}},
        {"pattern": {"sparsity": -0.1}},
        {"pattern": {"sparsity": True}},
        {"refinement": {"max_cycles": 0}},
        {"refinement": {"method": "none", "max_cycles": 3}},
        {"refinement": {"accept": "sometimes"}},
        {"update": {"method": "obs"}},
        {"unknown": 1},
    ],
)
def test_what_one_refuses_the_other_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        RecipeSpec.model_validate(given)
    with pytest.raises(ValueError, match=r"."):
        Recipe.from_dict(given)
