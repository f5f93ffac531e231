"""Partial forward passes against full ones."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.support.engine import families, tiny_decoders
from worker.engine import Recipe, sparsify
from worker.engine.activations.batches import ForwardContext, Stream
from worker.engine.activations.capture import record
from worker.engine.activations.dense_reference import DenseReference
from worker.engine.activations.partial_forward import PartialForward, full_forward
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import Stopwatch

TOKENS = torch.randint(3, tiny_decoders.VOCABULARY, (3, 24), generator=torch.Generator().manual_seed(0))
FAMILIES = [
    *["llama", "gpt2", "opt", "gpt_neox", "falcon", "phi", "phi3", "bloom", "cohere", "gemma2", "gemma3_text", "olmo2", "qwen3"],
    *["mixtral", "gpt_oss", "llama4_text", "deepseek_v3", "qwen3_moe", "dbrx", "mamba", "rwkv", "recurrent_gemma"],
]
TAKEN = ["llama", "gpt2", "opt", "phi3", "qwen3", "mixtral", "gpt_oss", "deepseek_v3"]


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For every pass that could be partial, whether it was."""
    taken: list[bool] = []
    checked_context = PartialForward.checked_context

    def note(self: PartialForward, stream: Stream, index: int, run: Any) -> ForwardContext:
        way = checked_context(self, stream, index, run)
        if self._pruned:
            taken.append(way is not full_forward)
        return way

    monkeypatch.setattr(PartialForward, "checked_context", note)
    return taken


def prune(source: Path, target: Path, preset: str = "best") -> bytes:
    sparsify(source, target, Recipe.from_dict({"preset": preset}), TOKENS, device="cpu")
    return b"".join(path.read_bytes() for path in sorted(target.glob("*.safetensors")))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_partial_forward_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: list[bool], model_type: str
) -> None:
    tiny_decoders.save(model_type, tmp_path / "source")
    found = prune(tmp_path / "source", tmp_path / "around")
    if model_type in TAKEN:
        assert ways
        assert all(ways)
    monkeypatch.setattr(PartialForward, "checked_context", lambda *_: full_forward)
    assert found == prune(tmp_path / "source", tmp_path / "full")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_partial_forward_changes_no_bit_in_lower_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: list[bool], dtype: torch.dtype
) -> None:
    source = families.save("llama", tmp_path / "source", dtype=dtype)
    found = prune(source, tmp_path / "around", "balanced")
    assert ways
    assert all(ways)
    monkeypatch.setattr(PartialForward, "checked_context", lambda *_: full_forward)
    assert found == prune(source, tmp_path / "full", "balanced")


def test_inputs_of_frozen_products_only_are_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After attention is pruned, neither q, k, v nor attention itself; after all is, only what is added to the stream."""
    arch = load_structure(families.save("llama", tmp_path))
    stream = record(arch, TOKENS, torch.device("cpu"), lambda: None)
    block, made = arch.blocks[0], list[tuple[int, ...]]()
    partial_forward = PartialForward(block, stream.store)
    with loaded_block(arch, block, torch.device("cpu")) as layer:
        dense = DenseReference(block, 0, stream.copy(), Stopwatch(), lambda: None)
        kept: dict[str, Tensor] = {}
        for name, module in layer.named_modules():
            if name.endswith(("o_proj", "down_proj")):
                module.register_forward_pre_hook(lambda _, args, name=name: kept.update({name: args[0]}))
        expected = stream.run(layer, 0, 0)
        for stage in dense.stages:
            for matrix in stage.matrices:
                if dense.is_summed(matrix.name):
                    partial_forward.cache_inputs(matrix.name, 0, kept[matrix.parameter.removesuffix(".weight")])
            partial_forward.mark_pruned(stage.matrices)

        def note(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            made.append(tuple(weight.shape))
            return functional.linear(x, weight, bias)

        monkeypatch.setattr("worker.engine.activations.partial_forward.product", note)
        with partial_forward.context(0), torch.no_grad():
            found = stream.run(layer, 0, 0)
    assert made == [(64, 64), (64, 96)]
    torch.testing.assert_close(found, expected)


def test_a_block_that_overwrites_values_runs_the_full_forward(tmp_path: Path) -> None:
    """Its sum is made in place, so that what is left out would be missing in it without a word."""
    arch = load_structure(families.save("llama", tmp_path))
    stream, block = record(arch, TOKENS, torch.device("cpu"), lambda: None), arch.blocks[0]
    partial_forward, asked = PartialForward(block, stream.store), list[bool]()
    with loaded_block(arch, block, torch.device("cpu")) as layer:
        first, second = (layer.get_parameter(f"self_attn.{name}_proj.weight") for name in "qo")
        pruned_stages = [
            [matrix for matrix in block.matrices if matrix.parameter == f"self_attn.{name}_proj.weight"] for name in "qo"
        ]
        partial_forward.mark_pruned(pruned_stages[0])
        partial_forward.cache_inputs(pruned_stages[1][0].name, 0, torch.randn(3, 24, 64))
        partial_forward.mark_pruned(pruned_stages[1])

        def run(way: AbstractContextManager[None]) -> list[Tensor]:
            with way:
                total = torch.zeros(3, 24, 64)
                total.add_(functional.linear(torch.ones(3, 24, 64), first))
                asked.append(True)
                return [functional.linear(total, second)]

        assert partial_forward.checked_context(stream, 0, run) is full_forward
    assert len(asked) == 1
