import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import families
from worker.engine import Recipe, outline
from worker.engine.recipe.choices import Admm, Dsnot, LeastSquares, MaskChoice, Objective, Obs, Swaps

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
    "objective": "layerwise",
    "refinement": DSNOT,
    "update": {"method": "none"},
}


def test_an_empty_recipe_is_wanda_with_improving_dsnot() -> None:
    assert Recipe.from_dict({}).to_dict() == FULL


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"preset": "dsnot-paper"},
        {"preset": "dsnot-reference", "pattern": {"type": "n:m", "n": 2, "m": 4}},
        {"refinement": {"method": "none"}, "criterion": "magnitude", "pattern": {"type": "unstructured", "sparsity": 0}},
        {"preset": "dsnot-paper", "refinement": {"max_cycles": 3, "accept": "if_better"}},
        {"preset": "fast"},
        {"preset": "balanced", "allocation": "owl"},
        {"preset": "best", "update": {"damping": 0}},
        {"criterion": "obs", "update": {"method": "obs"}, "pattern": {"type": "n:m", "n": 2, "m": 4}},
        {"refinement": {"method": "swaps"}, "update": {"method": "least_squares"}, "objective": "propagated"},
    ],
)
def test_a_completed_recipe_survives_a_json_round_trip(given: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(given)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_presets_fill_in_their_fields() -> None:
    paper = Recipe.from_dict({"preset": "dsnot-paper"}).to_dict()
    reference = Recipe.from_dict({"preset": "dsnot-reference"}).to_dict()
    assert paper["refinement"] == DSNOT | {"accept": "always"}
    assert reference["refinement"] == DSNOT | {
        "accept": "always",
        "targets": "attention",
        "stop_on_sign_change": False,
        "variance": "within_sample",
    }


def test_every_method_is_parsed_with_its_defaults() -> None:
    def read(**recipe: Any) -> Recipe:
        return Recipe.from_dict(recipe)

    assert isinstance(read().refinement, Dsnot)
    assert read(refinement={"method": "swaps"}).refinement == Swaps(max_swaps=200)
    assert read().update is None
    assert read(update={"method": "obs"}).update == Obs(damping=0.01)
    assert read(update={"method": "least_squares"}).update == LeastSquares(damping=0.01)
    assert read(update={"method": "admm"}).update == Admm(iterations=20, damping=0.1, mask=MaskChoice.JOINT)
    assert read().objective is Objective.LAYERWISE


def test_only_admm_with_a_joint_mask_selects_the_mask() -> None:
    assert Recipe.from_dict({"update": {"method": "admm"}}).has_joint_mask
    assert not Recipe.from_dict({"update": {"method": "admm", "mask": "given"}}).has_joint_mask
    assert not Recipe.from_dict({"update": {"method": "obs"}}).has_joint_mask
    assert not Recipe.from_dict({}).has_joint_mask


def test_a_modified_recipe_is_validated_again() -> None:
    with pytest.raises(ValueError, match=r"recipe\.objective cannot be propagated"):
        replace(Recipe.from_dict({}), objective=Objective.PROPAGATED)


def test_fields_next_to_a_preset_take_precedence() -> None:
    recipe = Recipe.from_dict({"preset": "dsnot-paper", "criterion": "magnitude", "refinement": {"max_cycles": 7}})
    assert recipe.to_dict()["criterion"] == "magnitude"
    assert recipe.to_dict()["refinement"] == DSNOT | {"accept": "always", "max_cycles": 7}
    assert Recipe.from_dict({"preset": "dsnot-paper", "refinement": {"method": "none"}}).refinement is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterion": "random"}, r"recipe\.criterion cannot be 'random'; available: magnitude, wanda, ria, obs"),
        ({"allocation": "random"}, r"recipe\.allocation .*available: uniform, owl, arithmetic"),
        ({"objective": "blockwise"}, r"recipe\.objective .*available: layerwise, propagated"),
        ({"refinement": {"method": "magic"}}, r"recipe\.refinement\.method .*available: none, dsnot, swaps"),
        ({"update": {"method": "magic"}}, r"recipe\.update\.method .*available: none, obs, least_squares, admm"),
        ({"preset": "finest"}, r"recipe\.preset .*available: fast, balanced, best, dsnot-paper, dsnot-reference"),
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
        ({"update": {"method": "obs", "mask": "joint"}}, r"recipe\.update\.mask is unknown"),
        ({"update": {"method": "obs", "damping": 1000}}, r"recipe\.update\.damping .* below 1000"),
        ({"update": {"method": "admm", "iterations": 1001}}, r"recipe\.update\.iterations .* at most 1000"),
        ({"refinement": {"method": "swaps", "max_swaps": 0}}, r"recipe\.refinement\.max_swaps"),
        ({"refinement": {"method": "swaps", "max_cycles": 5}}, r"recipe\.refinement\.max_cycles is unknown"),
        (
            {"allocation": "owl", "pattern": {"type": "n:m", "n": 2, "m": 4}},
            r"recipe\.allocation cannot be owl here: an n:m pattern fixes the sparsity of every group; use uniform\.",
        ),
        (
            {"update": {"method": "admm"}, "refinement": {"method": "swaps"}},
            r"recipe\.update\.mask .*set recipe\.refinement\.method to none, or recipe\.update\.mask to given\.",
        ),
        ({"preset": "best", "criterion": "ria"}, r"recipe\.criterion cannot be ria .*use wanda, or set recipe\.update\.mask to"),
        ({"objective": "propagated"}, r"recipe\.objective cannot be propagated here: .*or use layerwise\."),
        ({"sparsity": 0.5}, r"recipe\.sparsity is unknown"),
        ({"criterion": ["wanda"]}, r"recipe\.criterion"),
    ],
)
def test_an_invalid_recipe_names_the_field(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(given)


def test_a_pattern_that_does_not_divide_a_matrix_names_it(tmp_path: Path) -> None:
    described = outline(families.save("llama", tmp_path))
    Recipe.from_dict({"pattern": {"type": "n:m", "n": 2, "m": 32}}).check(described)
    recipe = Recipe.from_dict({"pattern": {"type": "n:m", "n": 2, "m": 64}})
    with pytest.raises(ValueError, match=r"model\.layers\.0\.mlp\.down_proj\.weight: 64 does not divide its 96"):
        recipe.check(described)
