import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from service.contract.recipe.pattern import NofM
from tests.support.engine import families, tiny_decoders
from worker.engine import outline
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe
from worker.engine.model.structure import load_structure

Checkpoints = Callable[[str], Path]


def changed(source: Path, target: Path, **config: Any) -> Path:
    """A copy of a checkpoint with other values in its config."""
    shutil.copytree(source, target)
    values = json.loads((source / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps(values))
    return target


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_outline_counts_match_the_loaded_model(checkpoint: Checkpoints, family: str) -> None:
    described = outline(checkpoint(family))
    model = families.load(checkpoint(family))
    inner = model.get_decoder()
    layers = inner.h if hasattr(inner, "h") else inner.layers
    linears = [layer for layer in layers.modules() if isinstance(layer, nn.Linear)]
    assert described.architecture == type(model).__name__
    assert described.parameters == sum(p.numel() for p in model.parameters())
    assert described.block_parameters == sum(p.numel() for p in layers.parameters())
    assert described.prunable_parameters == sum(layer.weight.numel() for layer in linears)
    assert described.coverage == described.prunable_parameters / described.block_parameters >= 0.95
    assert [shape for _, shape in described.matrices] == [tuple(layer.weight.shape) for layer in linears]
    assert (described.blocks, described.vocab_size, described.dtype) == (3, families.VOCABULARY, "float32")


@pytest.mark.parametrize("family", families.FAMILIES)
def test_matrices_are_named_as_in_the_checkpoint(checkpoint: Checkpoints, family: str) -> None:
    stored = load_file(checkpoint(family) / "model.safetensors")
    for name, shape in outline(checkpoint(family)).matrices:
        assert tuple(stored[name].shape) == shape


def test_the_outline_needs_no_weights(checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoint("llama")

    def forbidden(*_args: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr("worker.engine.checkpoint.reader.Checkpoint.read", forbidden)
    assert outline(source).max_sequence_length == 64


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling.Own"}},
        {"model_type": "own", "text_config": {"auto_map": {}}},
        {"attn_implementation": "someone/kernel"},
    ],
)
def test_a_config_with_custom_code_is_refused(checkpoint: Checkpoints, tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ModelUnsafe, match="never run"):
        outline(changed(checkpoint("llama"), tmp_path / "m", **config))


def test_an_unsupported_architecture_is_named(checkpoint: Checkpoints, tmp_path: Path) -> None:
    llama = checkpoint("llama")
    empty = changed(llama, tmp_path / "empty")
    save_file({"lm_head.weight": torch.zeros(96, 64)}, empty / "model.safetensors", {"format": "pt"})
    for source, message in [
        (empty, "LlamaDecoderLayer"),
        (changed(llama, tmp_path / "a", model_type="unheard-of"), "unheard-of"),
        (changed(llama, tmp_path / "b", model_type="t5"), "encoder with a decoder"),
        (changed(llama, tmp_path / "c", quantization_config={"quant_method": "gptq"}), "quantised"),
        (changed(llama, tmp_path / "d", num_hidden_layers=10**9), "number of layers"),
    ]:
        with pytest.raises(ArchitectureUnsupported, match=message):
            outline(source)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no-such-model"},
        {"model_type": None},
        {"model_type": ["llama"]},
        {"hidden_act": "no-such-function"},
        {"num_attention_heads": "many"},
        {"model_type": "vit"},
    ],
)
def test_a_config_that_transformers_refuses_is_reported_without_its_words(
    checkpoint: Checkpoints, tmp_path: Path, config: dict[str, Any]
) -> None:
    with pytest.raises(ArchitectureUnsupported) as caught:
        outline(changed(checkpoint("llama"), tmp_path / "model", **config))
    assert str(tmp_path) not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "; take " in str(caught.value) or "; correct " in str(caught.value)


def test_a_tensor_whose_shape_differs_from_the_config_is_refused(checkpoint: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(ModelUnsafe, match="shape"):
        outline(changed(checkpoint("llama"), tmp_path / "m", intermediate_size=128))


def test_tensors_without_the_base_prefix_are_matched(checkpoint: Checkpoints, tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(checkpoint("llama"), source)
    tensors = load_file(source / "model.safetensors")
    save_file({n.removeprefix("model."): t for n, t in tensors.items()}, source / "model.safetensors", {"format": "pt"})
    described, original = outline(source), outline(checkpoint("llama"))
    assert described.matrices == tuple((n.removeprefix("model."), shape) for n, shape in original.matrices)


def test_the_dtype_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    assert outline(families.save("llama", tmp_path, dtype=torch.bfloat16)).dtype == "bfloat16"


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_block_tensors_exclude_embeddings_and_head(tmp_path: Path, family: str) -> None:
    tiny_decoders.save(family, tmp_path)
    arch = load_structure(tmp_path)
    found = {tensor for block in arch.blocks for tensor in arch.tensors_of(block)}
    arch.checkpoint.expect(found)
    ends = ("embed_tokens", "lm_head", "wte", "wpe", "ln_f", "model.norm", "final_layernorm")
    assert all(any(end in tensor for end in ends) for tensor in set(arch.checkpoint.tensors) - found)
    assert not any(end in tensor for end in ends[:4] for tensor in found)


def test_matrices_that_the_pattern_does_not_fit_are_left_out(checkpoint: Checkpoints) -> None:
    arch = load_structure(checkpoint("llama"))  # its matrices have 64 and 96 inputs
    assert dict(arch.under(NofM(type="n:m", n=2, m=32)).matrix_shapes()) == dict(arch.matrix_shapes())
    fitting = dict(arch.under(NofM(type="n:m", n=2, m=64)).matrix_shapes())
    assert fitting == {name: shape for name, shape in arch.matrix_shapes() if "down_proj" not in name}
    with pytest.raises(ValueError, match=r"2:5 fit no matrix"):
        arch.under(NofM(type="n:m", n=2, m=5))


@pytest.mark.parametrize(
    ("family", "usable"), [("roberta", 63), ("whisper", 64), ("opt", 64), ("bart", 64), ("gpt2", 64), ("bert", 64), ("mpt", 64)]
)
def test_the_longest_sequence_is_the_one_that_the_model_computes(tmp_path: Path, family: str, usable: int) -> None:
    tiny_decoders.save(family, tmp_path)
    assert outline(tmp_path).max_sequence_length == usable
    model = tiny_decoders.load(tmp_path)
    tokens = torch.full((1, usable + 1), 5)
    model(input_ids=tokens[:, :usable])
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=tokens)


@pytest.mark.parametrize(
    ("stated", "index_order", "expected"),
    [(None, 1, "float32"), (None, -1, "float32"), ("bfloat16", 1, "bfloat16"), ("float32", 1, "float32")],
)
def test_mixed_dtypes_are_loaded_as_transformers_does(
    checkpoint: Checkpoints, tmp_path: Path, stated: str | None, index_order: int, expected: str
) -> None:
    source = changed(checkpoint("llama"), tmp_path / "m", dtype=stated)
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    shards = {
        "b.safetensors": {name: tensor.bfloat16() for name, tensor in tensors.items() if "layers" in name},
        "a.safetensors": {name: tensor for name, tensor in tensors.items() if "layers" not in name},
    }
    for shard, part in shards.items():
        save_file(part, source / shard, {"format": "pt"})
    weight_map = {name: shard for shard in list(shards)[::index_order] for name in shards[shard]}
    (source / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    loaded = AutoModelForCausalLM.from_pretrained(source, dtype="auto").dtype
    assert outline(source).dtype == str(loaded).removeprefix("torch.") == expected
