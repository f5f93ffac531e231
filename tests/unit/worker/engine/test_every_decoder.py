"""Every model type that transformers maps as a causal language model is pruned, or refused for a reason that is named."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from tests.support.engine import tiny_decoders
from tests.support.engine.decoder_types import REFUSED, SUPPORTED
from tests.support.size import sampled
from worker.engine import Recipe, outline, perplexity, sparsify
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.structure import load_structure
from worker.evaluation.speed.packed_weights import load_packed

SAVED_AS_TEXT = {"emu3", "mllama"}
TOKENS = torch.randint(3, tiny_decoders.VOCABULARY, (3, 24), generator=torch.Generator().manual_seed(0))
FEW_CYCLES = {"refinement": {"max_cycles": 2}}
TWO_OF_FOUR = {"criterion": "wanda", "pattern": {"type": "n:m", "n": 2, "m": 4}}


@pytest.mark.parametrize("model_type", sampled(SUPPORTED))
def test_every_decoder_is_pruned_and_loads(tmp_path: Path, model_type: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tiny_decoders.save(model_type, source)
    report = sparsify(source, target, Recipe.from_dict(FEW_CYCLES), TOKENS, device="cpu")
    assert report.coverage >= 0.95
    before, after = Checkpoint(source), Checkpoint(target)
    assert before.tensors == after.tensors  # names, types, shapes, shards, places
    for name in before.tensors:
        assert_only_zeroed(before.read(name), after.read(name))

    original, loaded = tiny_decoders.load(source), tiny_decoders.load(target)
    with torch.no_grad():
        dense = original.state_dict()
        for name, tensor in loaded.state_dict().items():
            assert_only_zeroed(dense[name], tensor)
            dense[name].masked_fill_(tensor == 0, 0)
        logits = loaded(input_ids=TOKENS, use_cache=False).logits
        torch.testing.assert_close(original(input_ids=TOKENS, use_cache=False).logits, logits)
        torch.testing.assert_close(load_packed(target, "stored")(input_ids=TOKENS, use_cache=False).logits, logits)
    assert perplexity(target, TOKENS, device="cpu").mean_nll == pytest.approx(mean_loss(logits), abs=1e-4)
    assert_rows_are_half_zero(target, loaded)
    assert {matrix.name for matrix in report.matrices} == {name for name, _ in outline(source).matrices}


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_oss", "llama4_text", "mixtral", "dbrx", "deepseek_v4"])
def test_pattern_groups_run_along_the_inputs(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path / "source")
    sparsify(tmp_path / "source", tmp_path / "target", Recipe.from_dict(TWO_OF_FOUR), TOKENS, device="cpu")
    for weight in matrices(tmp_path / "target", tiny_decoders.load(tmp_path / "target")):
        assert ((weight.reshape(len(weight), -1, 4) == 0).sum(dim=2) == 2).all()


@pytest.mark.parametrize("model_type", REFUSED)
def test_refused_decoders_are_named(tmp_path: Path, model_type: str) -> None:
    config = tiny_decoders.tiny_config(model_type)
    (config.get_text_config() if model_type in SAVED_AS_TEXT else config).save_pretrained(tmp_path)
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArchitectureUnsupported, match=REFUSED[model_type]):
        outline(tmp_path)


def test_few_decoders_are_refused() -> None:
    assert len(REFUSED) < 17
    assert len(SUPPORTED) > 170


def assert_only_zeroed(before: Tensor, after: Tensor) -> None:
    assert before.dtype == after.dtype
    assert torch.equal(after, before.masked_fill(after == 0, 0))


def matrices(folder: Path, model: Any) -> list[Tensor]:
    """All matrices of a loaded model, (out, in)."""
    blocks = load_structure(folder).blocks
    return [matrix.read(model.get_submodule(block.name)) for block in blocks for matrix in block.matrices]


def assert_rows_are_half_zero(folder: Path, model: Any) -> None:
    """Every row of every matrix, as the model multiplies by it, has lost half of its weights."""
    for weight in matrices(folder, model):
        assert ((weight == 0).sum(dim=1) == weight.shape[1] // 2).all()


def mean_loss(logits: Tensor) -> float:
    return float(functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), TOKENS[:, 1:]))
