from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.engine import tiny_decoders
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure

CPU = torch.device("cpu")
FORMS = ["llama", "gpt2", "mixtral", "gpt_oss", "llama4_text", "dbrx", "jetmoe", "deepseek_v4", "longcat_flash", "nemotron_h"]


@pytest.mark.parametrize("model_type", FORMS)
def test_every_weight_belongs_to_at_most_one_matrix(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    arch = load_structure(tmp_path)
    block = arch.blocks[-1]
    with loaded_block(arch, block, CPU) as module:
        for parameter in module.parameters():
            parameter.zero_()
        for matrix in block.matrices:
            assert tuple(matrix.read(module).shape) == matrix.shape
            matrix.write(module, matrix.read(module) + 1)
        values = torch.cat([parameter.flatten() for parameter in module.parameters()])
        assert ((values == 0) | (values == 1)).all()
        assert int(values.sum()) == sum(rows * width for rows, width in (matrix.shape for matrix in block.matrices))


@pytest.mark.parametrize("model_type", FORMS)
def test_names_are_unique_and_whole_tensors_keep_their_name(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    arch = load_structure(tmp_path)
    matrices = [matrix for block in arch.blocks for matrix in block.matrices]
    assert len({matrix.name for matrix in matrices}) == len(matrices)
    for matrix in matrices:
        if not matrix.name.endswith("]"):
            stored = arch.checkpoint.tensors[matrix.name].shape
            assert stored == (tuple(reversed(matrix.shape)) if matrix.is_transposed else matrix.shape)


@pytest.mark.parametrize(
    ("model_type", "names"),
    [
        ("gpt2", ["h.1.attn.c_attn.weight"]),
        ("mixtral", ["block_sparse_moe.experts.3.w2.weight", "mlp.experts.gate_up_proj[3]"]),
        ("gpt_oss", ["mlp.experts.down_proj[3]", "mlp.experts.gate_up_proj[3]"]),
        ("llama4_text", ["feed_forward.experts.down_proj[3]", "feed_forward.shared_expert.up_proj.weight"]),
        ("dbrx", ["ffn.experts.mlp.w2[3]"]),
        ("qwen2_moe", ["mlp.experts.2.down_proj.weight", "mlp.shared_expert.gate_proj.weight"]),
    ],
)
def test_names_are_those_of_the_tensor_or_its_slice(tmp_path: Path, model_type: str, names: list[str]) -> None:
    tiny_decoders.save(model_type, tmp_path)
    found = [name for name, _ in load_structure(tmp_path).matrix_shapes()]
    assert all(any(full.endswith(name) for full in found) for name in names)


@pytest.mark.parametrize("model_type", [*FORMS, "jamba", "qwen3_next", "zaya", "olmoe", "phimoe"])
def test_routers_norms_and_convolutions_are_never_pruned(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    arch = load_structure(tmp_path)
    for matrix in (matrix for block in arch.blocks for matrix in block.matrices):
        path = matrix.full_name.rpartition(".")[0]
        owners = [type(arch.model.get_submodule(path[:end])).__name__ for end in range(len(path)) if path[end] == "."]
        kind = type(arch.model.get_submodule(path)).__name__
        assert kind in {"Linear", "Conv1D"} or "Expert" in kind or "GroupedLinear" in kind
        assert not any("Router" in owner for owner in owners)
        assert path.rpartition(".")[2] not in {"router", "gate", "shared_expert_gate"}


def test_a_slice_of_a_stacked_tensor_is_that_slice(tmp_path: Path) -> None:
    tiny_decoders.save("gpt_oss", tmp_path)
    arch, stored = load_structure(tmp_path), dict[str, torch.Tensor]()
    for file in tmp_path.glob("*.safetensors"):
        stored |= load_file(file)
    block = arch.blocks[0]
    with loaded_block(arch, block, CPU) as module:
        for matrix in block.matrices:
            if matrix.index is not None:
                whole = stored[matrix.name.partition("[")[0]]  # (experts, in, out)
                assert torch.equal(matrix.read(module), whole[matrix.index].T)
