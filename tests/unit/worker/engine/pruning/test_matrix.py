from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from service.contract.recipe.recipe import Recipe
from tests.support.size import sized
from worker.engine.activations.statistics import InputStatistics
from worker.engine.errors import NumericalFailure
from worker.engine.pruning.matrix import Pruned, prune
from worker.engine.pruning.task import PruningTask
from worker.engine.report import Stopwatch

IF_BETTER = {"refinement": {"accept": "if_better", "update_threshold": 0}}
ALWAYS = {"refinement": {"accept": "always", "update_threshold": 0}}
N_OF_M = {"pattern": {"type": "n:m", "n": 2, "m": 4}}


def layer_and_inputs(seed: int) -> tuple[nn.Linear, Tensor]:
    """A layer of 24 x 32 and correlated inputs with means, (samples, tokens, in)."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(32, 24)
    layer.weight.data = torch.randn(24, 32, generator=generator)
    mix = torch.randn(32, 32, generator=generator) / 4
    x = (torch.randn(4, 20, 32, generator=generator) + 0.3) @ mix
    return layer.requires_grad_(False), x


def pruned_by(recipe: dict[str, Any], layer: nn.Linear, x: Tensor, path: str = "self_attn.q_proj") -> Pruned:
    parsed = Recipe.from_dict(recipe)
    statistics = InputStatistics(
        32, device=x.device, with_gram=parsed.needs_gram, examples_per_sample=0 if parsed.needs_gram else 20
    )
    statistics.add(x)
    return prune(PruningTask(path, layer.weight, statistics, parsed, parsed.pattern, 20), Stopwatch())


@pytest.mark.parametrize(("preset", "count"), [("dsnot-paper", 28), ("dsnot-reference", 28), ("fast", 29)])
def test_the_presets_of_dsnot_round_the_count_as_the_released_code_does(preset: str, count: int) -> None:
    statistics = InputStatistics(100, device=torch.device("cpu"), with_gram=True, examples_per_sample=0)
    statistics.add(torch.randn(2, 10, 100))
    recipe = Recipe.from_dict({"preset": preset, "pattern": {"sparsity": 0.29}})
    task = PruningTask("q_proj", torch.randn(3, 100), statistics, recipe, recipe.pattern, 10)
    assert prune(task, Stopwatch()).pruned.sum(dim=1).tolist() == [count] * 3


def true_errors(weight: Tensor, pruned: Tensor, x: Tensor) -> Tensor:
    return ((weight * pruned).double() @ x.flatten(0, 1).double().T).square().sum(dim=1)


@settings(max_examples=sized(12, 50))
@given(st.integers(0, 2**32), st.sampled_from([{}, N_OF_M]))
def test_if_better_never_increases_the_true_error_of_a_row(seed: int, pattern: dict[str, Any]) -> None:
    layer, x = layer_and_inputs(seed)
    weight = layer.weight.clone()
    first = pruned_by({"refinement": {"method": "none"}} | pattern, layer, x).pruned
    layer.weight.data = weight.clone()
    final = pruned_by(IF_BETTER | pattern, layer, x).pruned
    assert (true_errors(weight, final, x) <= true_errors(weight, first, x) * (1 + 1e-5)).all()


def test_always_accepts_rows_that_if_better_rejects() -> None:
    refused = 0
    for seed in range(5):
        layer, x = layer_and_inputs(seed)
        weight = layer.weight.clone()
        always = pruned_by(ALWAYS, layer, x)
        layer.weight.data = weight
        refused += pruned_by(IF_BETTER, layer, x).report.swaps < always.report.swaps
    assert refused == 5


@settings(max_examples=sized(10, 30))
@given(st.integers(0, 2**32), st.sampled_from([IF_BETTER, ALWAYS]))
def test_reported_errors_and_swaps_match_the_mask(seed: int, recipe: dict[str, Any]) -> None:
    layer, x = layer_and_inputs(seed)
    weight = layer.weight.clone()
    first = pruned_by({"refinement": {"method": "none"}}, layer, x)
    layer.weight.data = weight.clone()
    result = pruned_by(recipe, layer, x)
    whole = true_errors(weight, torch.ones_like(weight), x).sum()
    assert result.report.error == pytest.approx(float(true_errors(weight, result.pruned, x).sum() / whole), rel=1e-3)
    assert result.report.error_start == pytest.approx(first.report.error, rel=1e-3)
    assert result.report.swaps == int((result.pruned != first.pruned).sum()) / 2
    assert torch.equal(layer.weight, weight)


def test_refinement_changes_its_targets_only() -> None:
    recipe = {"refinement": {"accept": "always", "targets": "attention", "update_threshold": 0}}
    swaps = []
    for path in ("self_attn.q_proj", "attention.dense", "self_attention.query_key_value", "mlp.up_proj", "fc1"):
        layer, x = layer_and_inputs(0)
        swaps.append(pruned_by(recipe, layer, x, path).report.swaps > 0)
    assert swaps == [True, True, True, False, False]


def test_the_threshold_is_per_sample_in_the_recipe() -> None:
    layer, x = layer_and_inputs(0)
    weight = layer.weight.clone()
    statistics = InputStatistics(32, device=x.device, with_gram=False, examples_per_sample=20)
    statistics.add(x)
    none = Recipe.from_dict({"refinement": {"method": "none"}})
    start = prune(PruningTask("q", layer.weight, statistics, none, none.pattern, 20), Stopwatch()).pruned
    largest = float((weight * start * statistics.mean.float()).sum(dim=1).abs().max())  # per token
    for factor, moved in [(0.99, True), (1.01, False)]:
        layer.weight.data = weight.clone()
        recipe = Recipe.from_dict(
            {"refinement": {"update_threshold": largest * 20 * factor, "accept": "always", "stop_on_sign_change": False}}
        )
        assert (
            prune(PruningTask("q", layer.weight, statistics, recipe, recipe.pattern, 20), Stopwatch()).report.swaps > 0
        ) == moved


def test_a_nonfinite_weight_is_reported() -> None:
    layer, x = layer_and_inputs(0)
    layer.weight[3, 4] = float("nan")
    with pytest.raises(NumericalFailure, match="q_proj"):
        pruned_by({}, layer, x)
