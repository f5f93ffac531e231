"""Conversion of a GGUF file of the llama architecture to a safetensors checkpoint.

GGUF has its own tensor names, quantises most tensors block by block, and permutes the rows of the query and key projections
for RoPE: llama.cpp rotates adjacent pairs (x_0, x_1), transformers the halves (x_0, x_{d/2}) of a head. An unknown tensor or
setting is an error, because dropping it would give a model that answers slightly differently from the source.

transformers reads the configuration and the tokenizer. Its own GGUF loader for weights needs the package accelerate and
returns a model that it refuses to save.

Symbols:   d   head dimension
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_BLOCK = {
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
_NOT_UNDERSTOOD = ("llama.rope.scaling.", "llama.expert_", "llama.attention.sliding_window", "adapter.")


class ImportRefused(ValueError):
    """An unsuitable source or destination of an import; the message is a sentence for the user."""


def fastest_dtype() -> torch.dtype:
    """Return bfloat16 if the processor has matrix or dot-product instructions for it, else float32."""
    known = torch.cpu.get_capabilities()
    return torch.bfloat16 if known.get("amx_bf16") or known.get("avx512_bf16") else torch.float32


def convert(source: Path, folder: Path, say: Callable[[str], None], dtype: torch.dtype = torch.float32) -> None:
    """Write config, weights of type `dtype`, generation settings, tokenizer and a model card into an existing folder.

    Raises:
        ImportRefused: not a GGUF file, or one with unsupported content.
    """
    from transformers import GenerationConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    reader = _open(source)
    say("reading its configuration and tokenizer")
    config = _config(source, reader, dtype)
    tokenizer = _tokenizer(source, config)
    name = str(dtype).removeprefix("torch.")
    say(f"dequantising {len(reader.tensors)} tensors to {name}")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    tensors = _tensors(reader, config.num_attention_heads, config.num_key_value_heads)
    _fill(model, {key: value.to(dtype) for key, value in tensors})
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    say("writing safetensors")
    model.save_pretrained(folder, max_shard_size="5GB")
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(_card(source.name, _text(reader, "general.license"), name), encoding="utf-8")


def _open(source: Path) -> Any:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(source)
    except Exception as error:  # the reader trusts its file, so a broken one can raise anything
        raise ImportRefused(f"{source.name} is not a GGUF file, or is damaged") from error
    architecture = _text(reader, "general.architecture")
    if architecture != "llama":
        raise ImportRefused(f"{source.name} has the architecture {architecture!r}; only llama is supported")
    for name in reader.fields:
        if name.startswith(_NOT_UNDERSTOOD):
            raise ImportRefused(f"{source.name} has the setting {name}, which the conversion does not support")
    return reader


def _config(source: Path, reader: Any, dtype: torch.dtype) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name)
    vars(config).pop("_model_name_or_path", None)  # holds a title, where readers of the config expect a path
    config.dtype = dtype
    config.tie_word_embeddings = all(tensor.name != "output.weight" for tensor in reader.tensors)
    return config


def _tokenizer(source: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.model_max_length = config.max_position_embeddings
    return tokenizer


def _text(reader: Any, name: str) -> str | None:
    field = reader.get_field(name)
    value = field.contents() if field else None
    return value if isinstance(value, str) else None


def _tensors(reader: Any, heads: int, key_heads: int) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values in the layout of transformers."""
    from gguf import dequantize

    for tensor in reader.tensors:
        name = _translate(tensor.name)
        value = torch.tensor(dequantize(tensor.data, tensor.tensor_type), dtype=torch.float32)
        if ".q_proj." in name or ".k_proj." in name:
            value = halves_from_pairs(value, heads if ".q_proj." in name else key_heads)
        yield name, value


def _translate(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    match name.split("."):
        case ["blk", index, part, kind] if part in _IN_BLOCK:
            return f"model.layers.{index}.{_IN_BLOCK[part]}.{kind}"
    raise ImportRefused(f"the file has the tensor {name}, which the conversion does not support")


def halves_from_pairs(rows: Tensor, heads: int) -> Tensor:
    """Reorder the rows of each head from (x_0, x_1, x_2, …) to (x_0, x_2, …, x_1, x_3, …); rows: (heads·d, …)."""
    return rows.view(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def _fill(model: Any, state: dict[str, Tensor]) -> None:
    """Assign the weights to the model on the meta device; a tied head shares the embedding."""
    if model.config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ImportRefused("the file's tensors do not match its configuration") from error
    model.tie_weights()


def _card(name: str, license_name: str | None, dtype: str) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(license=license_name, library_name="transformers", pipeline_tag="text-generation")
    text = f"Converted from a GGUF file; quantised weights are dequantised to {dtype}, which restores no precision."
    return f"---\n{data.to_yaml()}\n---\n\n# {Path(name).stem}\n\n{text}\n"
