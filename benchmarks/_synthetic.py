"""Llama-shaped checkpoints of any size with random weights, written one block at a time."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from service.models.checkpoint import CheckpointHeaders, TensorHeader


@dataclass(frozen=True)
class Shape:
    """Dimensions of a Llama model, as in its config."""

    width: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def block_parameters(self) -> int:
        """Parameters of one block."""
        kv = self.width * self.kv_heads // self.heads
        return 2 * self.width * self.width + 2 * self.width * kv + 3 * self.width * self.inner + 2 * self.width


MatrixMaker = Callable[[int, int], Tensor]

SHAPES = {
    "135M": Shape(576, 1536, 9, 3, 49152),
    "1B": Shape(2048, 8192, 32, 8, 128256),
    "8B": Shape(4096, 14336, 32, 8, 128256),
    "70B": Shape(8192, 28672, 64, 8, 128256),
}


def write(folder: Path, shape: Shape, blocks: int, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Write a checkpoint with `blocks` blocks into `folder`, a shard per block; the same weights on every call."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    weight_map: dict[str, str] = {}

    def save(number: int, tensors: dict[str, Tensor]) -> None:
        name = f"model-{number:05d}-of-{blocks + 1:05d}.safetensors"
        save_file(tensors, folder / name, {"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, name))

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator).mul_(columns**-0.5).to(dtype)

    for index in range(blocks):
        save(index + 1, _block(f"model.layers.{index}.", shape, matrix, dtype))
    ends = {"model.embed_tokens.weight": matrix(shape.vocabulary, shape.width), "model.norm.weight": torch.ones(shape.width)}
    save(blocks + 1, {name: tensor.to(dtype) for name, tensor in ends.items()})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(_config(shape, blocks, dtype)))
    return folder


def headers(shape: Shape, blocks: int, dtype: torch.dtype = torch.bfloat16) -> CheckpointHeaders:
    """Return the headers of the checkpoint that `write` would write."""

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.empty(rows, columns, dtype=dtype, device="meta")

    tensors = {"model.embed_tokens.weight": matrix(shape.vocabulary, shape.width)}
    tensors["model.norm.weight"] = torch.empty(shape.width, dtype=dtype, device="meta")
    for index in range(blocks):
        tensors |= _block(f"model.layers.{index}.", shape, matrix, dtype)
    kind = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[dtype]
    described = {name: TensorHeader(kind, tuple(tensor.shape)) for name, tensor in tensors.items()}
    size = sum(tensor.nbytes for tensor in tensors.values())
    return CheckpointHeaders(_config(shape, blocks, dtype), described, {"model.safetensors": size}, None)


def _block(prefix: str, shape: Shape, matrix: MatrixMaker, dtype: torch.dtype) -> dict[str, Tensor]:
    kv = shape.width * shape.kv_heads // shape.heads
    sizes = {
        "self_attn.q_proj": (shape.width, shape.width),
        "self_attn.k_proj": (kv, shape.width),
        "self_attn.v_proj": (kv, shape.width),
        "self_attn.o_proj": (shape.width, shape.width),
        "mlp.gate_proj": (shape.inner, shape.width),
        "mlp.up_proj": (shape.inner, shape.width),
        "mlp.down_proj": (shape.width, shape.inner),
    }
    tensors = {f"{prefix}{name}.weight": matrix(*size) for name, size in sizes.items()}
    norms = ("input_layernorm", "post_attention_layernorm")
    return tensors | {f"{prefix}{name}.weight": torch.ones(shape.width, dtype=dtype) for name in norms}


def _config(shape: Shape, blocks: int, dtype: torch.dtype) -> dict[str, object]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": blocks,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "dtype": str(dtype).removeprefix("torch."),
    }
