"""Outlines of checkpoints whose tensor names are untrusted."""

import pytest

from service.contract.devices import DeviceClass
from service.contract.recipe.recipe import Recipe
from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.outline import outline
from service.planning.holdings import Holdings


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


@pytest.mark.timeout(20)
def test_the_memory_for_a_block_of_many_widths_is_planned_in_one_pass() -> None:
    tensors = {f"model.layers.0.part{width}.up.weight": TensorHeader("F32", (1, width)) for width in range(1, 40_001)}
    model = outline(CheckpointHeaders({"hidden_size": 8}, tensors, {"model.safetensors": 1}, None))
    recipe = Recipe.model_validate({"objective": "propagated", "update": {"method": "least_squares"}})
    assert Holdings(model, recipe, DeviceClass.CPU).of_tokens() == 4 * (2 * 8 + sum(range(1, 40_001)))


def test_weights_of_norms_embeddings_and_convolutions_are_no_matrices() -> None:
    names = [
        "self_attn.q_norm.weight",
        "norm.proj.weight",
        "embed_positions.weight",
        "conv1d.weight",
        "short_conv.in_proj.weight",
    ]
    assert matrices(*names) == ["norm.proj.weight", "short_conv.in_proj.weight"]
