"""Every composite model type that transformers maps with a decoder is pruned in its text part, or refused with a reason."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

from service.contract.checkpoints import UNSUPPORTED, loading_class
from service.models.outline import ModelOutline
from tests.support.altered_checkpoints import edit_config, said_by_service, said_by_worker
from tests.support.engine import tiny_composites, tiny_decoders
from tests.support.engine.composite_types import ENCODER_DECODERS, REFUSED, SUPPORTED
from tests.support.size import sampled
from worker.engine import Recipe, outline, perplexity, sparsify
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.meta import auto_class_of
from worker.engine.model.structure import load_structure

TOKENS = torch.randint(8, tiny_decoders.VOCABULARY, (2, 16), generator=torch.Generator().manual_seed(0))
NEARLY = {
    "ernie4_5_vl_moe": "experts for images are stored under the same names as those for text",
    "inkling_mm_model": "a bias of its router is a parameter, which in other families is a buffer",
}
"""Types whose names and shapes do not tell all; the service's sizes are within a quarter."""
ONE_CYCLE = Recipe.from_dict({"refinement": {"max_cycles": 1}})


@pytest.mark.parametrize("model_type", sampled(SUPPORTED))
def test_the_text_part_of_every_composite_model_is_pruned(tmp_path: Path, model_type: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    tiny_composites.save(model_type, source)
    report = sparsify(source, target, ONE_CYCLE, TOKENS, device="cpu")
    before, after, arch = Checkpoint(source), Checkpoint(target), load_structure(source)
    assert before.tensors == after.tensors  # names, types, shapes, shards, places
    pruned = {tensor for block in arch.blocks for matrix in block.matrices for tensor in matrix.filling.tensors}
    for name in before.tensors:
        dense, sparse = before.read(name), after.read(name)
        assert torch.equal(sparse, dense.masked_fill(sparse == 0, 0))
        assert name in pruned or torch.equal(sparse, dense)
    assert all(entry.sparsity == pytest.approx(0.5, abs=0.02) for entry in report.matrices)
    assert_described_alike(source, model_type)
    assert_perplexity_is_that_of_the_full_class(target)


def assert_perplexity_is_that_of_the_full_class(folder: Path) -> None:
    with torch.no_grad():
        logits = tiny_composites.load(folder)(input_ids=TOKENS, use_cache=False).logits
    loss = float(functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), TOKENS[:, 1:]))
    assert perplexity(folder, TOKENS, device="cpu").mean_nll == pytest.approx(loss, abs=1e-4)


def assert_described_alike(source: Path, model_type: str) -> None:
    """The service's look at names and shapes agrees with the engine's at the model."""
    told, built = said_by_service(source), outline(source)
    assert isinstance(told, ModelOutline), told
    assert (told.model_type, told.blocks, told.vocab_size) == (built.model_type, built.blocks, built.vocab_size)
    sizes = [(one.block_parameters, one.prunable_parameters) for one in (told, built)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.25) if model_type in NEARLY else sizes[0] == sizes[1]
    assert told.max_sequence_length in (built.max_sequence_length, None)


@pytest.mark.parametrize("model_type", ["gemma3", "llava", "qwen2_5_vl"])
@pytest.mark.parametrize(("whole", "text"), [(True, False), (False, True)])
def test_a_head_is_tied_as_the_full_class_ties_it(tmp_path: Path, model_type: str, whole: bool, text: bool) -> None:
    tiny_composites.save(model_type, tmp_path, tie_word_embeddings=False)
    config = json.loads((tmp_path / "config.json").read_text())
    edit_config(tmp_path, tie_word_embeddings=whole, text_config=config["text_config"] | {"tie_word_embeddings": text})
    assert_perplexity_is_that_of_the_full_class(tmp_path)


@pytest.mark.parametrize(("whole", "text"), [(True, False), (False, True)])
def test_a_head_without_a_tensor_is_the_embeddings_if_the_full_class_ties_it(tmp_path: Path, whole: bool, text: bool) -> None:
    tiny_composites.save("llava", tmp_path, tie_word_embeddings=True)
    config = json.loads((tmp_path / "config.json").read_text())
    edit_config(tmp_path, tie_word_embeddings=whole, text_config=config["text_config"] | {"tie_word_embeddings": text})
    assert_perplexity_is_that_of_the_full_class(tmp_path)


def test_encoders_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_composites.save("llava", tmp_path / "source")
    read: list[str] = []
    original = Checkpoint.read

    def watched(checkpoint: Checkpoint, name: str) -> torch.Tensor:
        read.append(name)
        return original(checkpoint, name)

    monkeypatch.setattr(Checkpoint, "read", watched)
    sparsify(tmp_path / "source", tmp_path / "target", ONE_CYCLE, TOKENS, device="cpu")
    assert read
    assert not any("vision_tower" in name for name in read)
    of_images = sum(p.numel() for n, p in tiny_composites.load(tmp_path / "source").named_parameters() if "vision_tower" in n)
    built = outline(tmp_path / "source")
    assert 0 < of_images <= built.encoder_parameters < built.parameters - built.block_parameters


@pytest.mark.parametrize("model_type", REFUSED)
def test_refused_composite_models_are_named_in_a_sentence(tmp_path: Path, model_type: str) -> None:
    config = CONFIG_MAPPING[model_type]()
    config.save_pretrained(tmp_path)
    save_file({f"weight.{number}": torch.zeros(2, 2) for number in range(100)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArchitectureUnsupported, match=REFUSED[model_type]) as raised:
        outline(tmp_path)
    assert len(str(raised.value)) < 200
    kind = MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES[model_type]
    if kind in UNSUPPORTED:
        edit_config(tmp_path, architectures=[kind])
        assert said_by_service(tmp_path) in {str(raised.value), f"{kind} {UNSUPPORTED[kind]}"}


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_encoders_with_a_decoder_are_refused_with_the_reason(tmp_path: Path, model_type: str) -> None:
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors", {"format": "pt"})
    for reason in (said_by_service(tmp_path), said_by_worker(tmp_path)):
        assert isinstance(reason, str)
        assert "cross-attention" in reason


def test_a_card_names_the_class_that_loads_the_model(tmp_path: Path) -> None:
    for model_type in ("gemma3", "llava", "qwen2_5_vl", "voxtral"):
        model = auto_class_of(config := tiny_composites.tiny_config(model_type)).from_config(config)
        assert loading_class({"architectures": [type(model).__name__]}) == type(model).__name__
    for config in ({"architectures": ["LlamaForCausalLM"]}, {"architectures": [7]}, {}):
        assert loading_class(config) == "AutoModelForCausalLM"


def test_few_composite_models_are_refused() -> None:
    assert len(REFUSED) < 20
    assert len(SUPPORTED) > 70
