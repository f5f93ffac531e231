"""Tiny pruned models of several families, as plain dense checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GptOssConfig, LlamaConfig, MixtralConfig, PreTrainedConfig, Qwen2Config

_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_SIZES, tie_word_embeddings=True, attention_bias=True),
    "qwen2": lambda: Qwen2Config(**_SIZES),
    "gpt2": lambda: GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=300, bos_token_id=None, eos_token_id=None),
    "mixtral": lambda: MixtralConfig(**_SIZES, num_local_experts=4),
    "gpt_oss": lambda: GptOssConfig(**_SIZES, num_local_experts=4, head_dim=32),
}
"""Tied head and biases; separate head; Conv1D; stacked experts; stacked experts of shape [inputs, outputs]."""

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes a random checkpoint with a share of zeros in every matrix and returns its folder."""

    def write(family: str = "llama", zeros: float = 0.6, dtype: torch.dtype = torch.float32, name: str = "model") -> Path:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[family](), dtype=dtype)
        heads = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
        for module in model.modules():
            if id(module) in heads or isinstance(module, torch.nn.Embedding):
                continue
            for parameter in module.parameters(recurse=False):
                if parameter.dim() > 1:
                    parameter.data *= torch.rand(parameter.shape) >= zeros  # leaves negative zeros, as pruning scripts do
        folder = tmp_path / name
        model.save_pretrained(folder)
        return folder

    return write
