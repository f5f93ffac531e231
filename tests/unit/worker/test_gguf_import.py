"""Importing models: a small GGUF file written with llama.cpp's own library, and folders."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from tests.support import checkpoints
from worker.gguf_import import main
from worker.inputs.gguf import halves_from_pairs

Edit = Callable[[gguf.GGUFWriter], None]
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _pairs_from_halves(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's own `permute` (convert_hf_to_gguf.py), from the Hub's order to GGUF's."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _write(path: Path, *, tied: bool = True, architecture: str = "llama", edit: Edit = lambda _: None) -> LlamaForCausalLM:
    """Write the file; returns the model whose weights it holds. Matrices are stored as Q8_0, norms as float32."""
    model = checkpoints.build(tie_word_embeddings=tied)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_license("mit")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(checkpoints.VOCABULARY)
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL])
    writer.add_token_merges(["q z"])
    writer.add_bos_token_id(checkpoints.BOS)
    writer.add_eos_token_id(checkpoints.EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages[0]['content'] }}</s>")
    for name, tensor in _named(model):
        values = tensor.detach().numpy().astype(np.float32)
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(
                name, gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0
            )
    edit(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _named(model: LlamaForCausalLM) -> list[tuple[str, torch.Tensor]]:
    state = model.state_dict()
    named = [("token_embd.weight", state["model.embed_tokens.weight"]), ("output_norm.weight", state["model.norm.weight"])]
    if not model.config.tie_word_embeddings:
        named.append(("output.weight", state["lm_head.weight"]))
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    for index in range(model.config.num_hidden_layers):
        for short, long in _BLOCK.items():
            value = state[f"model.layers.{index}.{long}.weight"]
            value = _pairs_from_halves(value, heads[short]) if short in heads else value
            named.append((f"blk.{index}.{short}.weight", value))
    return named


@pytest.mark.parametrize("tied", [True, False])
def test_a_converted_model_matches_the_original_in_transformers(tied: bool, tmp_path: Path) -> None:
    original = _write(tmp_path / "tiny.gguf", tied=tied)

    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "root" / "tiny")]) == 0

    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "root" / "tiny").eval()
    assert converted.dtype == torch.float32
    assert converted.config.tie_word_embeddings is tied
    assert ("lm_head.weight" in load_file(tmp_path / "root" / "tiny" / "model.safetensors")) is not tied
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(converted(tokens).logits, original(tokens).logits, atol=0.01)  # Q8_0 rounds
    oracle = load_gguf_checkpoint(str(tmp_path / "tiny.gguf"), return_tensors=True, model_to_load=original)["tensors"]
    state = converted.state_dict()
    assert set(oracle) == set(state) - ({"lm_head.weight"} if tied else set())
    assert all(torch.equal(state[name], tensor) for name, tensor in oracle.items())


@pytest.mark.parametrize(
    ("capabilities", "dtype"), [({"amx_bf16": True}, torch.bfloat16), ({"avx2": True, "amx_bf16": False}, torch.float32)]
)
def test_fastest_selects_bfloat16_if_the_processor_supports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    _write(tmp_path / "tiny.gguf")
    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "exact")]) == 0
    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "fast"), "--fastest"]) == 0

    exact, fast = (load_file(tmp_path / name / "model.safetensors") for name in ("exact", "fast"))
    assert all(torch.equal(fast[name], tensor.to(dtype)) for name, tensor in exact.items())
    assert {tensor.dtype for tensor in fast.values()} == {dtype}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "fast").dtype == dtype


def test_tokenizer_template_and_special_token_ids_are_imported(tmp_path: Path) -> None:
    _write(tmp_path / "tiny.gguf")
    main([str(tmp_path / "tiny.gguf"), str(tmp_path / "tiny")])

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")

    assert tokenizer("héllo").input_ids == checkpoints.tokenizer()("héllo").input_ids
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi</s>"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (checkpoints.BOS, checkpoints.EOS)
    assert model.generation_config.eos_token_id == checkpoints.EOS
    assert "license: mit" in (tmp_path / "tiny" / "README.md").read_text()


def test_rows_of_attention_heads_are_restored_to_their_order() -> None:
    rows = torch.randn(3 * 8, 5)

    assert torch.equal(halves_from_pairs(_pairs_from_halves(rows, 3), 3), rows)


def test_a_second_import_requires_the_same_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = checkpoints.save(tmp_path / "source"), tmp_path / "root" / "tiny"
    (source / "modeling.py").write_text("evil")
    arguments = [str(source), str(destination)]
    assert main(arguments) == 0
    first = _snapshot(destination)
    assert {name: content for name, (content, _) in first.items() if not name.startswith(".")} == {
        path.name: path.read_bytes() for path in source.iterdir() if path.suffix != ".py"
    }

    assert main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert _snapshot(destination) == first

    (source / "LICENSE").write_text("another")
    assert main(arguments) == 2
    assert "exists and was not imported from this source" in capsys.readouterr().err
    assert _snapshot(destination) == first


def test_a_snapshot_of_the_hub_cache_is_copied_as_files(tmp_path: Path) -> None:
    blobs = checkpoints.save(tmp_path / "models--org--tiny" / "blobs")
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(Path("../../blobs") / blob.name)

    assert main([str(snapshot), str(tmp_path / "tiny")]) == 0

    assert not any(path.is_symlink() for path in (tmp_path / "tiny").iterdir())
    assert (tmp_path / "tiny" / "model.safetensors").read_bytes() == (blobs / "model.safetensors").read_bytes()


def test_an_existing_folder_is_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = checkpoints.save(tmp_path / "source")
    (tmp_path / "mine").mkdir()

    assert main([str(source), str(tmp_path / "mine")]) == 2
    assert list((tmp_path / "mine").iterdir()) == []


def _rope_scaling(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)


def _rope_factors(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("rope_freqs.weight", np.ones(4, np.float32))


def _missing_layer(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("blk.7.ffn_up.weight", np.ones((64, 32), np.float32))


def _not_gguf(source: Path) -> None:
    source.write_bytes(b"GGUF and then nothing of the kind")


def _pickled(source: Path) -> None:
    shutil.rmtree(checkpoints.save(source) / "model.safetensors", ignore_errors=True)
    (source / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda source: _write(source, architecture="qwen2"), "only llama"),
        (lambda source: _write(source, edit=_rope_scaling), "rope.scaling"),
        (lambda source: _write(source, edit=_rope_factors), "rope_freqs.weight"),
        (lambda source: _write(source, edit=_missing_layer), "do not match its configuration"),
        (_not_gguf, "not a GGUF file"),
        (_pickled, "safetensors"),
        (lambda _: None, "does not exist"),
    ],
    ids=["architecture", "rope-scaling", "rope-factors", "odd-tensor", "no-gguf", "no-safetensors", "nothing"],
)
def test_lossy_or_unsafe_files_are_refused_and_leave_nothing(
    make: Callable[[Path], object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "source")

    assert main([str(tmp_path / "source"), str(tmp_path / "root" / "tiny")]) == 2

    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert reason in told
    assert not (tmp_path / "root").exists() or list((tmp_path / "root").iterdir()) == []


def _snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
