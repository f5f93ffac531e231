"""GGUF files of small models, written with llama.cpp's own library as its converter writes them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks._gguf import describe
from tests.support import checkpoints

Edit = Callable[[gguf.GGUFWriter], None]
_Q8 = gguf.GGMLQuantizationType.Q8_0
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LLAMA = {
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
_GEMMA3 = _LLAMA | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def _pairs_from_halves(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's own `permute` (convert_hf_to_gguf.py), from the Hub's order to GGUF's."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write(
    path: Path,
    model: PreTrainedModel | None = None,
    *,
    architecture: str = "llama",
    vocabulary: bool = True,
    edit: Edit = lambda _: None,
) -> PreTrainedModel:
    """Write the file; returns the model whose weights it holds. Matrices are stored as Q8_0, norms as float32."""
    model = model or checkpoints.build(tie_word_embeddings=True)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_license("mit")
    describe(writer, config)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    writer.add_key_length(config.head_dim)
    if vocabulary:
        _add_vocabulary(writer)
    for name, values in _named(model):
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, _Q8), raw_dtype=_Q8)
    edit(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(checkpoints.VOCABULARY)
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL])
    writer.add_token_merges(["q z"])
    writer.add_bos_token_id(checkpoints.BOS)
    writer.add_eos_token_id(checkpoints.EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages[0]['content'] }}</s>")


def _named(model: PreTrainedModel) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Names and values as llama.cpp's converter writes them: llama's queries and keys permuted, Gemma's norms plus 1."""
    state, config = model.state_dict(), model.config
    is_gemma = config.model_type == "gemma3_text"
    names = {gguf_name: name for gguf_name, name in _OUTER.items() if name != "lm_head" or not config.tie_word_embeddings}
    for index in range(config.num_hidden_layers):
        block = _GEMMA3 if is_gemma else _LLAMA
        names |= {f"blk.{index}.{gguf_name}": f"model.layers.{index}.{name}" for gguf_name, name in block.items()}
    for gguf_name, name in names.items():
        value = state[f"{name}.weight"].float()
        if is_gemma and name.endswith("norm"):
            value = value + 1
        elif not is_gemma and name.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if name.endswith("q_proj") else config.num_key_value_heads
            value = _pairs_from_halves(value, heads)
        yield f"{gguf_name}.weight", value.numpy()


def stored(tensor: torch.Tensor, architecture: str) -> torch.Tensor:
    """What the file holds of a tensor, by llama.cpp's own library."""
    if tensor.ndim == 2:
        return torch.from_numpy(gguf.dequantize(gguf.quantize(tensor.numpy(), _Q8), _Q8))
    return (tensor + 1) - 1 if architecture == "gemma3" else tensor
