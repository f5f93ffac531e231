import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.engine import families
from worker.engine import Recipe, outline

DSNOT = {
    "method": "dsnot",
    "max_cycles": 50,
    "update_threshold": 0.1,
    "variance_power": 1.0,
    "variance": "pooled",
    "stop_on_sign_change": True,
    "accept": "if_better",
    "targets": "all",
}
FULL: dict[str, Any] = {
    "preset": None,
    "pattern": {"type": "unstructured", "sparsity": 0.5},
    "criterion": "wanda",
    "allocation": "uniform",
    "refinement": DSNOT,
    "update": {"method": "none"},
}


def test_an_empty_recipe_is_wanda_then_dsnot_that_only_accepts_improvements() -> None:
    assert Recipe.from_dict({}).to_dict() == FULL


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"preset": "dsnot-paper"},
        {"preset": "dsnot-reference", "pattern": {"type": "n:m", "n": 2, "m": 4}},
        {"refinement": {"method": "none"}, "criterion": "magnitude", "pattern": {"type": "unstructured", "sparsity": 0}},
        {"preset": "dsnot-paper", "refinement": {"max_cycles": 3, "accept": "if_better"}},
    ],
)
def test_a_filled_in_recipe_survives_json_and_gives_the_same_recipe(given: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(given)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_presets_fill_what_they_stand_for() -> None:
    paper = Recipe.from_dict({"preset": "dsnot-paper"}).to_dict()
    reference = Recipe.from_dict({"preset": "dsnot-reference"}).to_dict()
    assert paper["refinement"] == DSNOT | {"accept": "always"}
    assert reference["refinement"] == DSNOT | {
        "accept": "always",
        "targets": "attention",
        "stop_on_sign_change": False,
        "variance": "within_sample",
    }


def test_fields_beside_a_preset_win() -> None:
    recipe = Recipe.from_dict({"preset": "dsnot-paper", "criterion": "magnitude", "refinement": {"max_cycles": 7}})
    assert recipe.to_dict()["criterion"] == "magnitude"
    assert recipe.to_dict()["refinement"] == DSNOT | {"accept": "always", "max_cycles": 7}
    assert Recipe.from_dict({"preset": "dsnot-paper", "refinement": {"method": "none"}}).refinement is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterion": "ria"}, r"recipe\.criterion cannot be 'ria'; available: magnitude, wanda"),
        ({"allocation": "owl"}, r"recipe\.allocation .*available: uniform"),
        ({"refinement": {"method": "swaps"}}, r"recipe\.refinement\.method .*available: none, dsnot"),
        ({"update": {"method": "admm"}}, r"recipe\.update\.method .*available: none"),
        ({"preset": "best"}, r"recipe\.preset .*available: dsnot-paper, dsnot-reference"),
        ({"pattern": {"type": "blocks"}}, r"recipe\.pattern\.type .*available: unstructured, n:m"),
        ({"pattern": {"type": "unstructured", "sparsity": 1.0}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": -0.1}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": float("nan")}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": "0.5"}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": True}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": 0.5, "n": 2}}, r"recipe\.pattern\.n is unknown"),
        ({"pattern": {"type": "n:m", "n": 4, "m": 4}}, "4:4"),
        ({"pattern": {"type": "n:m", "n": 0, "m": 4}}, r"recipe\.pattern\.n"),
        ({"pattern": {"type": "n:m", "n": 2.0, "m": 4}}, r"recipe\.pattern\.n"),
        ({"pattern": {"type": "n:m", "n": 2}}, r"recipe\.pattern\.m is missing"),
        ({"pattern": {"type": "n:m", "n": 2, "m": 4, "sparsity": 0.5}}, r"recipe\.pattern\.sparsity is unknown"),
        ({"pattern": 0.5}, r"recipe\.pattern must be an object"),
        ({"refinement": {"max_cycles": 0}}, r"recipe\.refinement\.max_cycles"),
        ({"refinement": {"update_threshold": -1}}, r"recipe\.refinement\.update_threshold"),
        ({"refinement": {"variance_power": float("inf")}}, r"recipe\.refinement\.variance_power"),
        ({"refinement": {"stop_on_sign_change": 1}}, r"recipe\.refinement\.stop_on_sign_change"),
        ({"refinement": {"accept": "never"}}, r"recipe\.refinement\.accept .*if_better, always"),
        ({"refinement": {"targets": "mlp"}}, r"recipe\.refinement\.targets .*all, attention"),
        ({"refinement": {"method": "none", "max_cycles": 5}}, r"recipe\.refinement\.max_cycles is unknown"),
        ({"update": {"method": "none", "damping": 0.1}}, r"recipe\.update\.damping is unknown"),
        ({"sparsity": 0.5}, r"recipe\.sparsity is unknown"),
        ({"criterion": ["wanda"]}, r"recipe\.criterion"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(given)


def test_a_pattern_that_does_not_divide_a_matrix_is_refused_by_its_name(tmp_path: Path) -> None:
    described = outline(families.save("llama", tmp_path))
    Recipe.from_dict({"pattern": {"type": "n:m", "n": 2, "m": 32}}).check(described)
    recipe = Recipe.from_dict({"pattern": {"type": "n:m", "n": 2, "m": 64}})
    with pytest.raises(ValueError, match=r"model\.layers\.0\.mlp\.down_proj\.weight: 64 does not divide its 96"):
        recipe.check(described)
