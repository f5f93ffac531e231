"""Outlines of checkpoints whose tensor names are untrusted."""

import pytest

from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.outline import outline


def matrices(*names: str) -> list[str]:
    tensors = {f"model.layers.0.{name}": TensorHeader("F32", (4, 8)) for name in names}
    config = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "vocab_size": 8}
    return [
        matrix.name for matrix in outline(CheckpointHeaders(config, tensors, {"model.safetensors": 1}, None)).largest_matrices
    ]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["norm", ".norm", "1.", "adapter_list", "."])
def test_a_long_tensor_name_is_read_once(part: str) -> None:
    assert matrices("mlp.up_proj.weight", part * 60_000)[0] == "mlp.up_proj.weight"


def test_weights_of_norms_embeddings_and_convolutions_are_no_matrices() -> None:
    names = [
        "self_attn.q_norm.weight",
        "norm.proj.weight",
        "embed_positions.weight",
        "conv1d.weight",
        "short_conv.in_proj.weight",
    ]
    assert matrices(*names) == ["norm.proj.weight", "short_conv.in_proj.weight"]
