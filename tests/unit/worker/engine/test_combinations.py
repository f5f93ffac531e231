"""Every combination of choices either prunes a model as asked, or is refused in a sentence that names the field."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.engine import families
from worker.engine import Recipe, sparsify
from worker.engine.errors import NumericalFailure

Checkpoints = Callable[[str], Path]
CRITERIA = ["magnitude", "wanda", "ria", "obs"]
ALLOCATIONS = ["uniform", "owl", "arithmetic"]
OBJECTIVES = ["layerwise", "propagated"]
REFINEMENTS: list[dict[str, Any]] = [{"method": "none"}, {"method": "dsnot"}, {"method": "swaps", "max_swaps": 5}]
UPDATES: list[dict[str, Any]] = [
    {"method": "none"},
    {"method": "obs"},
    {"method": "least_squares"},
    {"method": "admm", "mask": "joint", "iterations": 6},
    {"method": "admm", "mask": "given", "iterations": 6},
]
PATTERNS: list[dict[str, Any]] = [{"type": "unstructured", "sparsity": 0.5}, {"type": "n:m", "n": 2, "m": 4}]
TOKENS = families.tokens()


def recipes() -> list[dict[str, Any]]:
    """All of update x refinement x objective x pattern with Wanda; every criterion and allocation with fewer of these."""
    rest = list(product(REFINEMENTS, UPDATES, OBJECTIVES, PATTERNS))
    found = [("wanda", "uniform", *choice) for choice in rest]
    found += [(criterion, "uniform", *choice) for criterion in CRITERIA for choice in rest[:: len(CRITERIA) + 3]]
    found += [("wanda", allocation, *choice) for allocation in ALLOCATIONS for choice in rest[::7]]
    names = ("criterion", "allocation", "refinement", "update", "objective", "pattern")
    asked = [dict(zip(names, choice, strict=True)) for choice in found]
    return list({_name(recipe): recipe for recipe in asked}.values())


def _name(asked: dict[str, Any]) -> str:
    update = "-".join(str(asked["update"][key]) for key in ("method", "mask") if key in asked["update"])
    names = (asked["criterion"], asked["allocation"], asked["refinement"]["method"], update, asked["objective"])
    return " ".join((*names, asked["pattern"]["type"]))


def accepted(asked: dict[str, Any]) -> Recipe | None:
    try:
        return Recipe.from_dict(asked)
    except ValueError:
        return None


ACCEPTED = [asked for asked in recipes() if accepted(asked)]
REFUSED = [asked for asked in recipes() if not accepted(asked)]


@pytest.mark.parametrize("asked", ACCEPTED, ids=_name)
def test_accepted_combinations_prune_as_requested(checkpoint: Checkpoints, tmp_path: Path, asked: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(asked)
    report = sparsify(checkpoint("llama"), tmp_path, recipe, TOKENS, device="cpu")
    after = load_file(tmp_path / "model.safetensors")
    assert report.sparsity == pytest.approx(0.5, abs=0.01)
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert 0 < report.total.error < 1
    if not recipe.changes_kept_weights:
        before = load_file(checkpoint("llama") / "model.safetensors")
        assert all(torch.equal(t[t != 0], before[name][t != 0]) for name, t in after.items())


def test_refused_combinations_name_the_field() -> None:
    for asked in REFUSED:
        with pytest.raises(ValueError, match=r"^recipe\.\w+"):
            Recipe.from_dict(asked)
    assert len(ACCEPTED) > 40
    assert len(REFUSED) > 20


@pytest.mark.parametrize("preset", ["balanced", "best", "fast"])
def test_a_few_tokens_suffice_to_run_and_give_a_warning(checkpoint: Checkpoints, tmp_path: Path, preset: str) -> None:
    report = sparsify(checkpoint("opt"), tmp_path, Recipe.from_dict({"preset": preset}), TOKENS[:1, :5], device="cpu")
    assert report.sparsity == pytest.approx(0.5, abs=0.01)
    assert len(report.warnings) == 1
    assert "20 calibration samples instead of 1" in report.warnings[0]  # 96 inputs, 5 tokens a sample


def test_no_warning_if_no_gram_matrix_is_used(checkpoint: Checkpoints, tmp_path: Path) -> None:
    recipe = Recipe.from_dict({"preset": "dsnot-paper"})
    assert sparsify(checkpoint("opt"), tmp_path, recipe, TOKENS[:1, :5], device="cpu").warnings == ()


@pytest.mark.parametrize("preset", ["balanced", "best", "fast"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_nonfinite_weight_names_its_layer(tmp_path: Path, preset: str, value: float) -> None:
    source = families.save("llama", tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(NumericalFailure, match=r"model\.layers\.1"):
        sparsify(source, tmp_path / "target", Recipe.from_dict({"preset": preset}), TOKENS, device="cpu")
