import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.unit.worker.engine import families
from worker.engine.checkpoint import Checkpoint
from worker.engine.output import Output


def test_a_copy_is_byte_for_byte_the_source_and_ticks(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source, ticks = Checkpoint(checkpoint("llama")), list[None]()
    Output(source, tmp_path / "a" / "b").copy_source(lambda: ticks.append(None))
    copied = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert copied == {"config.json", "generation_config.json", "model.safetensors"}
    for name in copied:
        assert (tmp_path / "a" / "b" / name).read_bytes() == (source.folder / name).read_bytes()
    assert len(ticks) >= 3


def test_only_the_pruned_weights_of_one_tensor_change(tmp_path: Path) -> None:
    source = Checkpoint(families.save("qwen2", tmp_path / "source", dtype=torch.bfloat16))
    output = Output(source, tmp_path / "target")
    output.copy_source(lambda: None)
    name = "model.layers.1.mlp.up_proj.weight"
    before = load_file(tmp_path / "source" / "model.safetensors")
    pruned = torch.rand(before[name].shape) < 0.3
    share = output.write(name, pruned)
    after = load_file(tmp_path / "target" / "model.safetensors")
    assert share == (after[name] == 0).double().mean().item()
    assert torch.equal(after.pop(name), before.pop(name).masked_fill(pruned, 0))
    assert all(torch.equal(after[other], tensor) for other, tensor in before.items())


def test_templates_in_a_folder_are_copied_and_deep_or_hidden_ones_are_not(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(checkpoint("llama"), folder)
    for name in ("additional_chat_templates/tool.jinja", "a/b/c.txt", ".cache/x.json", "pytorch_model.bin.index.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    Output(Checkpoint(folder), tmp_path / "target").copy_source(lambda: None)
    found = {str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*") if p.is_file()}
    assert found == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "additional_chat_templates/tool.jinja",
    }
