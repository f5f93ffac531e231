"""Warnings of a job that is created."""

from dataclasses import replace
from typing import Any

import pytest

from service.contract.samples import DEFAULT_MAX_WEIGHT_BYTES
from service.contract.spec import JobSpec
from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.outline import ModelOutline, outline
from service.planning.warnings import of_creation

TENSORS = {"model.layers.0.mlp.up_proj.weight": TensorHeader("F32", (4, 8)), "lm_head.weight": TensorHeader("F32", (8, 8))}
CONFIG = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "vocab_size": 8}


def model(weight_bytes: int) -> ModelOutline:
    return replace(outline(CheckpointHeaders(CONFIG, TENSORS, {"model.safetensors": 1}, None)), weight_bytes=weight_bytes)


def warnings(found: ModelOutline | None, samples: dict[str, Any] | None) -> list[str]:
    body = {"model": {"source": "local", "id": "m"}, "calibration": {"dataset": "c4-sample"}}
    evaluation = {"perplexity": ["wiki-sample"], "samples": samples}
    return list(of_creation(JobSpec.model_validate(body | {"evaluation": evaluation}), found))


def test_samples_that_load_a_large_model_are_warned_of() -> None:
    [warning] = warnings(model(DEFAULT_MAX_WEIGHT_BYTES + 1), {})
    assert warning.startswith("Samples load the whole model")
    assert "Set evaluation.samples to null" in warning


@pytest.mark.parametrize(
    ("found", "samples"),
    [
        (model(DEFAULT_MAX_WEIGHT_BYTES), {}),
        (model(DEFAULT_MAX_WEIGHT_BYTES + 1), None),
        (model(DEFAULT_MAX_WEIGHT_BYTES + 1), {"max_weight_bytes": DEFAULT_MAX_WEIGHT_BYTES}),
        (None, {}),
    ],
)
def test_samples_of_small_models_omitted_ones_and_those_of_unread_models_are_not(
    found: ModelOutline | None, samples: dict[str, Any] | None
) -> None:
    assert warnings(found, samples) == []
