"""Experts are measured on the tokens that they see, told here by hooks on transformers' own model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.engine import tiny_decoders
from worker.engine import Recipe, sparsify
from worker.engine.activations.capture import record
from worker.engine.activations.measuring import measure
from worker.engine.activations.statistics import InputStatistics
from worker.engine.errors import NumericalFailure
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import Stopwatch

CPU = torch.device("cpu")
TOKENS = torch.randint(3, tiny_decoders.VOCABULARY, (4, 24), generator=torch.Generator().manual_seed(0))
FEWEST = "worker.engine.activations.measuring.MIN_TOKENS"


def measured(folder: Path, tokens: Tensor = TOKENS) -> dict[str, InputStatistics]:
    """The statistics of the first block, by the end of the parameters' names, slices in brackets."""
    arch = load_structure(folder)
    block, stream = arch.blocks[0], record(arch, tokens, CPU, lambda: None)
    with loaded_block(arch, block, CPU):
        found = measure(block, 0, stream, matrices=block.matrices, with_gram=True, watch=Stopwatch(), tick=lambda: None)
    return {f"{m.parameter.rpartition('.')[2]}[{m.index}]": found[m.name] for m in block.matrices if m.experts}


def handed(folder: Path, path: str, tokens: Tensor = TOKENS) -> tuple[nn.Module, list[tuple[Tensor, ...]]]:
    """The experts' module of the first block and its arguments, one sample at a time."""
    model = tiny_decoders.load(folder)
    module, calls = model.get_submodule(path), list[tuple[Tensor, ...]]()
    module.register_forward_pre_hook(lambda _module, arguments: calls.append(arguments))
    with torch.no_grad():
        for sample in tokens:
            model(input_ids=sample[None], use_cache=False)
    return module, calls


def agree(statistics: InputStatistics, inputs: Tensor) -> None:
    assert statistics.tokens == len(inputs)
    torch.testing.assert_close(statistics.mean.float(), inputs.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics.norm.float(), inputs.square().mean(dim=0).sqrt(), rtol=1e-4, atol=1e-5)
    assert statistics.gram is not None
    torch.testing.assert_close(statistics.gram, inputs.T @ inputs, rtol=1e-3, atol=1e-4)


def inner(experts: Any, expert: int, inputs: Tensor) -> Tensor:
    """What an expert of Mixtral's kind hands its second matrix."""
    gate, up = functional.linear(inputs, experts.gate_up_proj[expert]).chunk(2, dim=-1)
    return (functional.silu(gate) * up).detach()


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe", "olmoe"])
def test_an_expert_is_measured_on_the_tokens_the_router_sends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str
) -> None:
    monkeypatch.setattr(FEWEST, 0)
    tiny_decoders.save(model_type, tmp_path)
    found = measured(tmp_path)
    experts, calls = handed(tmp_path, "model.layers.0.mlp.experts")
    for expert in range(4):
        rows = torch.cat([hidden[(chosen == expert).any(dim=1)] for hidden, chosen, _ in calls])
        agree(found[f"gate_up_proj[{expert}]"], rows)
        agree(found[f"down_proj[{expert}]"], inner(experts, expert, rows))


def test_zeroed_tokens_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FEWEST, 0)
    tiny_decoders.save("llama4_text", tmp_path)
    found = measured(tmp_path)
    _, calls = handed(tmp_path, "model.layers.0.feed_forward.experts")
    rows = torch.stack([call[0].view(4, -1, 64) for call in calls], dim=1).flatten(1, 2)  # (experts, tokens, width)
    for expert in range(4):
        agree(found[f"gate_up_proj[{expert}]"], rows[expert][rows[expert].any(dim=1)])
    assert sum(found[f"gate_up_proj[{expert}]"].tokens for expert in range(4)) == 2 * TOKENS.numel()


def test_an_expert_with_too_few_tokens_sees_those_of_its_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FEWEST, 40)
    tiny_decoders.save("mixtral", tmp_path)
    tokens = TOKENS[:2, :16]  # 64 expert-token pairs for 4 experts: some see fewer than 40
    found = measured(tmp_path, tokens)
    experts, calls = handed(tmp_path, "model.layers.0.mlp.experts", tokens)
    own = [torch.cat([hidden[(chosen == e).any(dim=1)] for hidden, chosen, _ in calls]) for e in range(4)]
    assert min(map(len, own)) < 40
    for expert, rows in enumerate(own):
        for hidden, chosen, _ in calls:  # sample by sample, each of its tokens once for every expert it is sent to
            if len(rows) < 40:
                rows = torch.cat([rows, *(hidden[(chosen == e).any(dim=1)] for e in range(4))])
        agree(found[f"gate_up_proj[{expert}]"], rows)
        agree(found[f"down_proj[{expert}]"], inner(experts, expert, rows))


@pytest.mark.parametrize("model_type", ["gpt_oss", "dbrx", "jetmoe", "llama4_text", "deepseek_v4", "nemotron_h"])
def test_every_expert_gets_enough_tokens_in_any_layout(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    arch = load_structure(tmp_path)
    stream = record(arch, TOKENS[:1], CPU, lambda: None)  # 24 tokens, each for two experts
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, CPU) as module:
            before = {name: parameter.clone() for name, parameter in module.named_parameters()}
            found = measure(block, index, stream, matrices=block.matrices, with_gram=False, watch=Stopwatch(), tick=lambda: None)
            assert all(torch.equal(parameter, before[name]) for name, parameter in module.named_parameters())
            stream.advance(module, index, block.name, lambda: None)
        assert all(found[matrix.name].tokens >= 24 for matrix in block.matrices)


@pytest.mark.parametrize("model_type", ["mixtral", "llama4_text", "jetmoe"])
def test_the_batch_size_does_not_change_a_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path / "source")
    for budget in (1, 10**6):
        monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", budget)
        sparsify(tmp_path / "source", tmp_path / str(budget), Recipe.from_dict({"criterion": "wanda"}), TOKENS, device="cpu")
    for file in (tmp_path / "source").glob("*.safetensors"):
        assert (tmp_path / "1" / file.name).read_bytes() == (tmp_path / str(10**6) / file.name).read_bytes()


def test_an_expert_with_a_nonfinite_weight_is_named(tmp_path: Path) -> None:
    tiny_decoders.save("mixtral", tmp_path)
    model = tiny_decoders.load(tmp_path)
    with torch.no_grad():
        model.model.layers[1].mlp.experts.down_proj[2, 3, 4] = torch.nan
    model.save_pretrained(tmp_path / "source")
    with pytest.raises(NumericalFailure, match=r"layers\.1.*experts\.2\.w2"):
        sparsify(tmp_path / "source", tmp_path / "target", Recipe.from_dict({"criterion": "wanda"}), TOKENS, device="cpu")


@pytest.mark.parametrize("family", ["mixtral", "deepseek_v3", "gpt_oss"])
def test_the_number_of_experts_measured_at_once_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    tiny_decoders.save(family, tmp_path / "source")
    recipe = Recipe.from_dict({"preset": "fast"})
    found = []
    for name, room in (("all", 1 << 30), ("few", 3 * 4 * 32**2), ("one", 1)):
        monkeypatch.setattr("worker.engine.pruning.block.GRAM_BYTES", room)
        sparsify(tmp_path / "source", tmp_path / name, recipe, TOKENS, device="cpu")
        found.append([file.read_bytes() for file in sorted((tmp_path / name).glob("*.safetensors"))])
    assert found[0] == found[1] == found[2]
