import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.engine import families, tiny_decoders
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import load_structure
from worker.engine.output.writer import Change, Changed, Output


def test_a_copy_equals_the_source_and_reports_progress(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source, ticks = Checkpoint(checkpoint("llama")), list[None]()
    Output(source, tmp_path / "a" / "b").copy_source(lambda: ticks.append(None))
    copied = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert copied == {"config.json", "generation_config.json", "model.safetensors"}
    for name in copied:
        assert (tmp_path / "a" / "b" / name).read_bytes() == (source.folder / name).read_bytes()
    assert len(ticks) >= 3


def written(source: Path, target: Path, changes: Callable[[Matrix], Change | None]) -> dict[str, float]:
    """The shares of zeros after changing the matrices of the second block."""
    arch = load_structure(source)
    output = Output(arch.checkpoint, target)
    output.copy_source(lambda: None)
    made = {matrix: changes(matrix) for matrix in arch.blocks[1].matrices}
    changed = Changed.by(arch.checkpoint, {matrix: change for matrix, change in made.items() if change is not None})
    output.write(changed.tensors)
    return changed.zeros


def test_only_the_pruned_weights_of_one_tensor_change(tmp_path: Path) -> None:
    families.save("qwen2", tmp_path / "source", dtype=torch.bfloat16)
    name = "model.layers.1.mlp.up_proj.weight"
    before = load_file(tmp_path / "source" / "model.safetensors")
    pruned = torch.rand(before[name].shape) < 0.3
    shares = written(tmp_path / "source", tmp_path / "target", lambda matrix: Change(pruned) if matrix.name == name else None)
    after = load_file(tmp_path / "target" / "model.safetensors")
    assert shares == {name: (after[name] == 0).double().mean().item()}
    assert torch.equal(after.pop(name), before.pop(name).masked_fill(pruned, 0))
    assert all(torch.equal(after[other], tensor) for other, tensor in before.items())


@pytest.mark.parametrize("model_type", ["gpt2", "mixtral", "gpt_oss", "llama4_text", "dbrx", "granitemoe", "deepseek_v4"])
def test_masks_and_weights_reach_the_loaded_model_in_any_layout(tmp_path: Path, model_type: str) -> None:
    """Every second matrix gets new weights, every third stays as it is; the rest is only pruned."""
    source, target = tmp_path / "source", tmp_path / "target"
    tiny_decoders.save(model_type, source)
    generator, made = torch.Generator().manual_seed(1), dict[str, Change]()

    def change(matrix: Matrix) -> Change | None:
        if len(made) % 3 == 2:
            made[matrix.name] = Change(torch.zeros(matrix.shape, dtype=torch.bool))
            return None
        weight = torch.randn(matrix.shape, generator=generator) if len(made) % 2 else None
        made[matrix.name] = Change(torch.rand(matrix.shape, generator=generator) < 0.3, weight)
        return made[matrix.name]

    shares = written(source, target, change)
    before, after = tiny_decoders.load(source), tiny_decoders.load(target)
    for index, block in enumerate(load_structure(source).blocks):
        for matrix in block.matrices:
            old, new = (matrix.read(model.get_submodule(block.name)) for model in (before, after))
            expected = old
            if index == 1:
                weight, pruned = made[matrix.name].weight, made[matrix.name].pruned
                expected = (old if weight is None else weight).masked_fill(pruned, 0)
                assert matrix.name not in shares or shares[matrix.name] == (new == 0).double().mean().item()
            assert torch.equal(new, expected), matrix.name


def test_new_weights_are_cast_to_the_stored_dtype(tmp_path: Path) -> None:
    families.save("llama", tmp_path / "source", dtype=torch.bfloat16)
    weights = torch.randn(64, 64)
    written(
        tmp_path / "source",
        tmp_path / "target",
        lambda matrix: Change(weights < 0, weights) if matrix.name.endswith("q_proj.weight") else None,
    )
    after = load_file(tmp_path / "target" / "model.safetensors")["model.layers.1.self_attn.q_proj.weight"]
    assert torch.equal(after, weights.clamp(min=0).bfloat16())


def copied_files(source: Path, target: Path) -> set[str]:
    Output(Checkpoint(source), target).copy_source(lambda: None)
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}


def test_companions_in_folders_are_copied_and_other_weights_are_not(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "source"
    shutil.copytree(checkpoint("llama"), folder)
    own = {path.name for path in folder.iterdir()}
    companions = {
        "additional_chat_templates/tool.jinja",
        "a/b/c.txt",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "bpe.codes",
    }
    others = {
        ".cache/x.json",
        "pytorch_model.bin.index.json",
        "onnx/model.onnx",
        "onnx/config.json",
        "report.html",
        "model.packed",
    }
    for name in companions | others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    assert copied_files(folder, tmp_path / "target") == own | companions


def test_configs_lose_the_names_of_code(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "source"
    shutil.copytree(checkpoint("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}, "text": {"auto_map": {}, "é": [1]}})
    )
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.Y", null]}}')
    copied_files(folder, tmp_path / "target")
    assert json.loads((tmp_path / "target" / "config.json").read_text()) == config | {"text": {"é": [1]}}
    assert json.loads((tmp_path / "target" / "tokenizer_config.json").read_text()) == {}
