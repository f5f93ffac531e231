from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.engine import tiny_decoders
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.checkpoint.weight_mapping import WeightMapping, match_tensors
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe
from worker.engine.model.meta import build_on_meta, read_config

# merged and joined, renamed, split into several, interleaved, one to one
TYPES = ["mixtral", "deepseek_v4", "hrm_text", "inkling2_text", "gpt_oss"]


def matched(folder: Path) -> tuple[Checkpoint, Any, dict[str, WeightMapping]]:
    checkpoint = Checkpoint(folder)
    model = build_on_meta(checkpoint, read_config(checkpoint))
    return checkpoint, model, match_tensors(checkpoint, model)


@pytest.mark.parametrize("model_type", TYPES)
def test_parameters_match_transformers(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    checkpoint, _, fillings = matched(tmp_path)
    expected = tiny_decoders.load(tmp_path).state_dict()
    for name, filling in fillings.items():
        found = filling.forwards([checkpoint.read(tensor) for tensor in filling.tensors])
        assert found.keys() == filling.shapes.keys()
        assert torch.equal(found[name], expected[name]), name


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_mapping_to_parameters_and_back_is_the_identity(tmp_path: Path, model_type: str, dtype: torch.dtype) -> None:
    tiny_decoders.save(model_type, tmp_path)
    checkpoint, _, fillings = matched(tmp_path)
    for filling in fillings.values():
        tensors = [(torch.rand(checkpoint.tensors[name].shape) * 2).to(dtype) for name in filling.tensors]
        back = filling.backwards(filling.forwards(tensors))
        assert all(torch.equal(one, other) for one, other in zip(tensors, back, strict=True))


def broken(folder: Path, name: str, shape: tuple[int, ...] | None) -> Path:
    """The checkpoint with a tensor left out or of another shape."""
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        if tensors.pop(name, None) is not None:
            if shape is not None:
                tensors[name] = torch.zeros(shape)
            save_file(tensors, file, {"format": "pt"})
    return folder


EXPERT = "model.layers.0.block_sparse_moe.experts.1.w1.weight"


def test_a_missing_expert_is_reported(tmp_path: Path) -> None:
    tiny_decoders.save("mixtral", tmp_path)
    with pytest.raises((ArchitectureUnsupported, ModelUnsafe), match="MixtralExperts"):
        matched(broken(tmp_path, EXPERT, None))


def test_an_expert_of_another_shape_is_reported(tmp_path: Path) -> None:
    tiny_decoders.save("mixtral", tmp_path)
    with pytest.raises((ArchitectureUnsupported, ModelUnsafe), match="MixtralExperts"):
        matched(broken(tmp_path, EXPERT, (128, 32)))
