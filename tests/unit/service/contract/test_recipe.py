import json
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from service.contract.parts import FieldError
from service.contract.recipe.choices import Objective
from service.contract.recipe.presets import PRESETS
from service.contract.recipe.recipe import Recipe
from service.contract.recipe.refinement import DsnotRefinement, SwapsRefinement
from service.contract.recipe.update import AdmmUpdate, LeastSquaresUpdate, NoUpdate, ObsUpdate

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


def test_a_recipe_with_a_method_choice_alone_is_wanda_with_improving_dsnot() -> None:
    assert Recipe.from_dict({"criterion": "wanda"}).to_dict() == FULL


@pytest.mark.parametrize("given", [{}, {"preset": None}, {"pattern": {"type": "n:m", "n": 2, "m": 4}}, {"pattern": {}}])
def test_a_recipe_without_a_preset_or_a_method_choice_is_balanced(given: dict[str, Any]) -> None:
    assert Recipe.from_dict(given) == Recipe.from_dict({**given, "preset": "balanced"})


@pytest.mark.parametrize(
    "given",
    [
        {"criterion": "ria"},
        {"allocation": "owl"},
        {"objective": "layerwise"},
        {"refinement": {"method": "none"}},
        {"update": {"method": "none"}},
        {"preset": None, "update": {"method": "obs"}},
    ],
)
def test_a_recipe_with_any_method_choice_has_no_preset(given: dict[str, Any]) -> None:
    assert Recipe.from_dict(given).preset is None


def test_a_stored_recipe_without_a_preset_keeps_its_steps() -> None:
    assert Recipe.from_dict(FULL).to_dict() == FULL


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

    assert isinstance(read(criterion="wanda").refinement, DsnotRefinement)
    assert read(refinement={"method": "swaps"}).refinement == SwapsRefinement(method="swaps", max_swaps=200)
    assert read(criterion="wanda").update == NoUpdate()
    assert read(update={"method": "obs"}).update == ObsUpdate(method="obs", damping=0.01)
    assert read(update={"method": "least_squares"}).update == LeastSquaresUpdate(method="least_squares", damping=0.01)
    assert read(update={"method": "admm"}).update == AdmmUpdate(method="admm", iterations=20, damping=0.1, mask="joint")
    assert read(criterion="wanda").objective is Objective.LAYERWISE


def test_only_admm_with_a_joint_mask_selects_the_mask() -> None:
    assert Recipe.from_dict({"update": {"method": "admm"}}).has_joint_mask
    assert not Recipe.from_dict({"update": {"method": "admm", "mask": "given"}}).has_joint_mask
    assert not Recipe.from_dict({"update": {"method": "obs"}}).has_joint_mask
    assert not Recipe.from_dict({}).has_joint_mask


def test_fields_next_to_a_preset_take_precedence() -> None:
    recipe = Recipe.from_dict({"preset": "dsnot-paper", "criterion": "magnitude", "refinement": {"max_cycles": 7}})
    assert recipe.to_dict()["criterion"] == "magnitude"
    assert recipe.to_dict()["refinement"] == DSNOT | {"accept": "always", "max_cycles": 7}
    assert Recipe.from_dict({"preset": "dsnot-paper", "refinement": {"method": "none"}}).refinement.method == "none"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterion": "random"}, r"^recipe\.criterion: must be 'magnitude', 'wanda', 'ria' or 'obs'$"),
        ({"allocation": "random"}, r"recipe\.allocation: must be 'uniform', 'owl' or 'arithmetic'"),
        ({"objective": "blockwise"}, r"recipe\.objective: must be 'layerwise' or 'propagated'"),
        ({"refinement": {"method": "magic"}}, r"recipe\.refinement\.method: must be one of 'none', 'dsnot', 'swaps'"),
        ({"update": {"method": "magic"}}, r"recipe\.update\.method: must be one of 'none', 'obs', 'least_squares', 'admm'"),
        ({"preset": "finest"}, r"recipe\.preset: must be 'fast', 'balanced', 'best', 'dsnot-paper' or 'dsnot-reference'"),
        ({"pattern": {"type": "blocks"}}, r"recipe\.pattern\.type: must be one of 'unstructured', 'n:m'"),
        ({"pattern": {"type": "unstructured", "sparsity": 1.0}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": -0.1}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": float("nan")}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": "0.5"}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": True}}, r"recipe\.pattern\.sparsity"),
        ({"pattern": {"type": "unstructured", "sparsity": 0.5, "n": 2}}, r"recipe\.pattern\.n: unknown field"),
        ({"pattern": {"type": "n:m", "n": 4, "m": 4}}, "4:4"),
        ({"pattern": {"type": "n:m", "n": 0, "m": 4}}, r"recipe\.pattern\.n"),
        ({"pattern": {"type": "n:m", "n": 2.0, "m": 4}}, r"recipe\.pattern\.n"),
        ({"pattern": {"type": "n:m", "n": 2}}, r"recipe\.pattern\.m: is required"),
        ({"pattern": {"type": "n:m", "n": 2, "m": 4, "sparsity": 0.5}}, r"recipe\.pattern\.sparsity: unknown field"),
        ({"pattern": 0.5}, r"recipe\.pattern: must be an object"),
        ({"refinement": {"max_cycles": 0}}, r"recipe\.refinement\.max_cycles"),
        ({"refinement": {"update_threshold": -1}}, r"recipe\.refinement\.update_threshold"),
        ({"refinement": {"variance_power": float("inf")}}, r"recipe\.refinement\.variance_power"),
        ({"refinement": {"stop_on_sign_change": 1}}, r"recipe\.refinement\.stop_on_sign_change"),
        ({"refinement": {"accept": "never"}}, r"recipe\.refinement\.accept: must be 'if_better' or 'always'"),
        ({"refinement": {"targets": "mlp"}}, r"recipe\.refinement\.targets: must be 'all' or 'attention'"),
        ({"refinement": {"method": "none", "max_cycles": 5}}, r"recipe\.refinement\.max_cycles: unknown field"),
        ({"update": {"method": "none", "damping": 0.1}}, r"recipe\.update\.damping: unknown field"),
        ({"update": {"method": "obs", "mask": "joint"}}, r"recipe\.update\.mask: unknown field"),
        ({"update": {"method": "obs", "damping": 1000}}, r"recipe\.update\.damping: must be less than 1000"),
        ({"update": {"method": "admm", "iterations": 1001}}, r"recipe\.update\.iterations: must be at most 1000"),
        ({"refinement": {"method": "swaps", "max_swaps": 0}}, r"recipe\.refinement\.max_swaps"),
        ({"refinement": {"method": "swaps", "max_cycles": 5}}, r"recipe\.refinement\.max_cycles: unknown field"),
        (
            {"allocation": "owl", "pattern": {"type": "n:m", "n": 2, "m": 4}},
            r"recipe\.allocation: an n:m pattern fixes the sparsity of every group; use uniform$",
        ),
        (
            {"update": {"method": "admm"}, "refinement": {"method": "swaps"}},
            r"recipe\.update\.mask: .*set the refinement to none, or the mask to given$",
        ),
        ({"preset": "best", "criterion": "ria"}, r"recipe\.criterion: .*use wanda, or set update\.mask to"),
        ({"objective": "propagated"}, r"recipe\.objective: .*or use layerwise$"),
        ({"sparsity": 0.5}, r"recipe\.sparsity: unknown field"),
        ({"criterion": ["wanda"]}, r"recipe\.criterion"),
    ],
)
def test_an_invalid_recipe_names_the_field(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(given)


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
def test_a_completed_recipe_is_unchanged(given: dict[str, Any]) -> None:
    filled = Recipe.from_dict(given).to_dict()
    assert Recipe.from_dict(filled).to_dict() == filled


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
def test_values_out_of_bounds_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^recipe(\.\w+)+: ."):
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
def test_exactly_the_combinations_that_exclude_each_other_are_refused(refinement: str, update: str) -> None:
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
        assert _refused_field(given) == wrong


def _refused_field(given: dict[str, Any]) -> str | None:
    try:
        Recipe.model_validate(given)
    except ValidationError as refused:
        (error,) = refused.errors()
        cause = error["ctx"]["error"]
        assert isinstance(cause, FieldError)
        return cause.pointer.removeprefix("/")
    return None


def test_an_update_without_refinement_has_none() -> None:
    for method in ("obs", "least_squares", "admm"):
        assert Recipe.from_dict({"update": {"method": method}}).to_dict()["refinement"] == {"method": "none"}
    assert Recipe.from_dict({"update": {"method": "none"}}).to_dict()["refinement"]["method"] == "dsnot"
    assert Recipe.from_dict({"update": {"method": "obs"}, "refinement": {}}).to_dict()["refinement"]["method"] == "dsnot"


@pytest.mark.parametrize(
    ("recipe", "needed"),
    [
        ({}, True),
        ({"preset": "fast"}, True),
        ({"preset": "best"}, True),
        ({"preset": "dsnot-paper"}, False),
        ({"criterion": "obs", "refinement": {"method": "none"}}, True),
        ({"criterion": "magnitude", "refinement": {"method": "none"}}, False),
        ({"update": {"method": "least_squares"}}, True),
    ],
)
def test_gram_matrices_are_needed_where_a_row_is_fitted_or_checked(recipe: dict[str, Any], needed: bool) -> None:
    assert Recipe.from_dict(recipe).needs_gram is needed


def test_an_allocated_sparsity_changes_unstructured_patterns_only() -> None:
    assert str(Recipe.from_dict({}).pattern.at_sparsity(0.625)) == "62.5 %"
    assert str(Recipe.from_dict({"pattern": _TWO_OF_FOUR}).pattern.at_sparsity(0.625)) == "2:4"
