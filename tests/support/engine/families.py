"""Tiny random models of every family the engine must know, saved as plain checkpoints."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OlmoConfig,
    OPTConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

VOCABULARY = 96
LENGTH = 24  # longer than the sliding windows below
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": VOCABULARY}
_SHAPE = _IDS | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_HEADS = _SHAPE | {"num_key_value_heads": 2}
_SLIDING = _HEADS | {"head_dim": 16, "sliding_window": 8}
_FALCON = _IDS | {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
_OPT = {name: value for name, value in _SHAPE.items() if name != "intermediate_size"}

FAMILIES: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_HEADS),
    "llama_tied": lambda: LlamaConfig(**_HEADS, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**_HEADS),
    "qwen3": lambda: Qwen3Config(**_HEADS, head_dim=16),
    "mistral": lambda: MistralConfig(**_HEADS, sliding_window=8),
    "gemma2": lambda: Gemma2Config(**_SLIDING),
    "gemma3": lambda: Gemma3TextConfig(**_SLIDING, layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "phi3": lambda: Phi3Config(**_HEADS),
    "opt": lambda: OPTConfig(**_OPT, ffn_dim=96, word_embed_proj_dim=64),
    "falcon": lambda: FalconConfig(**_FALCON, alibi=False),
    "falcon_alibi": lambda: FalconConfig(**_FALCON, alibi=True, parallel_attn=False, bias=True),
    "gpt_neox": lambda: GPTNeoXConfig(**_SHAPE),
    "olmo": lambda: OlmoConfig(**_HEADS),
    "smollm3": lambda: SmolLM3Config(**_HEADS),
}


def save(family: str, folder: Path, *, dtype: torch.dtype = torch.float32, shard: str = "1GB") -> Path:
    """A random model of the family, saved in `folder`; its activations have means, outliers and spread."""
    model = build(family, dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


def build(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """The random model itself."""
    generator = torch.Generator().manual_seed(5)
    model = AutoModelForCausalLM.from_config(FAMILIES[family]()).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_matrix = parameter.ndim == 2
            is_scale = name.endswith("weight") and not is_matrix
            parameter.copy_(noise * (0.15 if is_matrix else 0.3) + (1.0 if is_scale else 0.0))
    return model


def load(folder: Path) -> Any:
    """The checkpoint as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def tokens(samples: int = 5, length: int = LENGTH, seed: int = 0) -> Tensor:
    """Random token ids, (samples, length), without the special ones."""
    return torch.randint(3, VOCABULARY, (samples, length), generator=torch.Generator().manual_seed(seed))
