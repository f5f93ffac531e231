"""The propagated objective against the whole model in transformers, run with plain hooks, and normal equations in float64."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.support.engine import families, tiny_decoders
from worker.engine import Recipe, SparsityReport, perplexity, sparsify
from worker.engine.activations.capture import record
from worker.engine.activations.dense_reference import DenseReference
from worker.engine.activations.dense_targets import ALPHA_UPDATE, StageTargets
from worker.engine.activations.partial_forward import PartialForward
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import Stopwatch

Checkpoints = Callable[[str], Path]
TOKENS = torch.randint(3, families.VOCABULARY, (20, families.LENGTH), generator=torch.Generator().manual_seed(1))
EXACT = {
    "criterion": "magnitude",
    "objective": "propagated",
    "refinement": {"method": "none"},
    "update": {"method": "least_squares", "damping": 0},
}
# stages of a block: its matrices, and the module whose input is what their outputs are added to
LLAMA = [
    (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], None),
    (["self_attn.o_proj"], "input_layernorm"),
    (["mlp.gate_proj", "mlp.up_proj"], None),
    (["mlp.down_proj"], "post_attention_layernorm"),
]
OPT = [
    (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], None),
    (["self_attn.out_proj"], "self_attn_layer_norm"),
    (["fc1"], None),
    (["fc2"], "final_layer_norm"),
]
BLOCKS = {"llama": ("model.layers", LLAMA), "opt": ("model.decoder.layers", OPT)}


def run(source: Path, target: Path, recipe: dict[str, Any], tokens: Tensor = TOKENS) -> SparsityReport:
    return sparsify(source, target, Recipe.from_dict(recipe), tokens, device="cpu")


def inputs_of(model: Any, names: list[str]) -> dict[str, Tensor]:
    """What modules are given when the model runs, (tokens, width) float64."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen[name].append(arguments[0].reshape(-1, arguments[0].shape[-1]).double())

    handles = [model.get_submodule(name).register_forward_pre_hook(partial(note, name)) for name in names]
    with torch.no_grad():
        for sample in TOKENS:
            model(input_ids=sample[None], use_cache=False)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(inputs) for name, inputs in seen.items()}


def solved(weight: Tensor, x: Tensor, dense_x: Tensor, lack: Tensor | None) -> Tensor:
    """The best weights (out, in) under the mask of the largest half, for the outputs that the objective asks for."""
    targets = ALPHA_UPDATE * dense_x @ weight.T + (1 - ALPHA_UPDATE) * x @ weight.T
    if lack is not None:
        targets = targets + ALPHA_UPDATE * lack
    best = torch.zeros_like(weight)
    for row, kept in enumerate(weight.abs() > weight.abs().median(dim=1, keepdim=True).values):
        best[row, kept] = torch.from_numpy(np.linalg.lstsq(x[:, kept].numpy(), targets[:, row].numpy(), rcond=None)[0])
    return best


@pytest.mark.parametrize("family", BLOCKS)
def test_every_stage_compensates_the_error_of_earlier_stages(checkpoint: Checkpoints, tmp_path: Path, family: str) -> None:
    run(checkpoint(family), tmp_path, EXACT)
    after = load_file(tmp_path / "model.safetensors")
    layers, stages = BLOCKS[family]
    dense, now = families.load(checkpoint(family)), families.load(checkpoint(family))
    for block in range(3):
        for matrices, added_to in stages:
            names = [f"{layers}.{block}.{matrix}" for matrix in matrices]
            residual = f"{layers}.{block}.{added_to}"
            watched = [names[0], residual] if added_to else [names[0]]
            x, dense_x = inputs_of(now, watched), inputs_of(dense, watched)
            lack = dense_x[residual] - x[residual] if added_to else None
            for name in names:
                weight = dense.get_submodule(name).weight.detach().double()
                expected = solved(weight, x[names[0]], dense_x[names[0]], lack)
                found = after[f"{name}.weight"].double()
                assert (expected[found == 0] == 0).all(), name
                assert float((x[names[0]] @ (found - expected).T).norm() / (x[names[0]] @ expected.T).norm()) < 0.01, name
                with torch.no_grad():
                    now.get_submodule(name).weight.copy_(after[f"{name}.weight"])


@pytest.mark.parametrize("recipe", [{"preset": "best"}, {"preset": "balanced"}])
def test_the_model_is_closer_to_the_dense_one_than_layerwise(
    checkpoint: Checkpoints, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    distances = []
    dense = families.load(checkpoint("llama"))
    for objective in ("layerwise", "propagated"):
        run(checkpoint("llama"), tmp_path / objective, {**recipe, "objective": objective})
        pruned = families.load(tmp_path / objective)
        with torch.no_grad():
            distances.append(float((pruned(input_ids=TOKENS).logits - dense(input_ids=TOKENS).logits).norm()))
    assert distances[1] < 0.97 * distances[0]


@pytest.mark.parametrize("family", ["gpt_neox", "falcon", "gemma2"])
def test_the_batch_size_does_not_matter(
    checkpoint: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    found = []
    for budget in (1, 2 * families.LENGTH, 10**6):
        monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", budget)
        report = run(checkpoint(family), tmp_path / str(budget), {"preset": "best"})
        tensors = load_file(tmp_path / str(budget) / "model.safetensors")
        found.append(torch.cat([tensors[matrix.name].flatten() for matrix in report.matrices]))
    for other in found[1:]:
        assert ((found[0] == 0) != (other == 0)).double().mean() < 5e-3  # what rounding tips over
        assert float((found[0] - other).norm() / other.norm()) < 0.1


FAMILIES = [
    *["mixtral", "gpt_oss", "llama4_text", "deepseek_v3", "olmoe", "qwen3_moe", "dbrx"],
    *["gpt2", "bloom", "phi", "cohere", "granite", "mamba", "rwkv", "jamba", "recurrent_gemma"],
]


@pytest.mark.parametrize("family", FAMILIES)
def test_mixtures_and_shared_and_recurrent_blocks_are_pruned(tmp_path: Path, family: str) -> None:
    tiny_decoders.save(family, tmp_path / "source")
    tokens = torch.randint(3, tiny_decoders.VOCABULARY, (3, 24), generator=torch.Generator().manual_seed(0))
    report = run(tmp_path / "source", tmp_path / "target", {"preset": "best"}, tokens)
    assert report.sparsity == pytest.approx(0.5, abs=0.01)
    assert report.coverage >= 0.95
    assert all(matrix.error < 0.9 for matrix in report.matrices)
    assert perplexity(tmp_path / "target", tokens, device="cpu").value > 0


def test_equal_runs_give_equal_bytes(checkpoint: Checkpoints, tmp_path: Path) -> None:
    for name in "ab":
        run(checkpoint("qwen3"), tmp_path / name, {"preset": "best"})
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_activations_of_a_block_are_released_at_once(checkpoint: Checkpoints) -> None:
    """Without waiting for the collector of circles, in whose time a few blocks' activations would pile up."""
    arch, device = load_structure(checkpoint("llama")), torch.device("cpu")
    stream = record(arch, TOKENS, device, lambda: None)
    gc.collect()
    gc.disable()
    try:
        with loaded_block(arch, arch.blocks[0], device):
            dense = DenseReference(arch.blocks[0], 0, stream.copy(), Stopwatch(), lambda: None)
            run = StageTargets(
                arch.blocks[0], 0, dense.stages[0], stream, dense, PartialForward(arch.blocks[0], stream.store), 0.5
            )
            run.run(Stopwatch(), lambda: None)
        assert not set(dense.stages[0].groups) & set(dense.inputs)
        references: list[weakref.ref[Any]] = [weakref.ref(dense), weakref.ref(run)]
        del dense, run
        assert all(reference() is None for reference in references)
    finally:
        gc.enable()
