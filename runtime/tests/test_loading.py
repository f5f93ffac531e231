"""Models loaded from packed files and from masks, against the dense checkpoint."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from dsnot_runtime import SparseConfig, SparseWeight, load
from dsnot_runtime.errors import DamagedFile, IncompleteModel, NotPacked, NotSparse, WrongBase
from service.packing import Origin, make_mask, pack

Save = Callable[..., Path]
WEIGHTS = "model.safetensors"


def pack_folder(folder: Path, to: Path) -> Path:
    """An artifact's folder with packed files alone."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors"))
    pack(folder / WEIGHTS, to / "model.packed")
    return to


def prune(base: Path, to: Path) -> Path:
    """A folder whose matrices have zeros at random, and are the base's elsewhere."""
    shutil.copytree(base, to)
    state = load_file(base / WEIGHTS)
    for name, weight in state.items():
        if weight.dim() > 1 and "embed" not in name:
            state[name] = torch.where(torch.rand(weight.shape) < 0.4, weight, 0)
    save_file(state, to / WEIGHTS, metadata={"format": "pt"})
    return to


def logits(model: Any, length: int = 40) -> torch.Tensor:
    tokens = torch.randint(0, 300, (1, length), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(tokens).logits  # type: ignore[no-any-return]


def sparse_weights(model: Any) -> dict[str, SparseWeight]:
    return {name: weight for name, weight in model.named_parameters() if isinstance(weight, SparseWeight)}


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_packed_files_give_the_weights_of_the_checkpoint(save: Save, tmp_path: Path, family: str) -> None:
    folder = save(family)
    expected = AutoModelForCausalLM.from_pretrained(folder, quantization_config=SparseConfig())
    model = load(pack_folder(folder, tmp_path / "packed"))
    assert type(model) is type(expected)
    assert sparse_weights(model).keys() == sparse_weights(expected).keys()
    state, expected_state = model.state_dict(), expected.state_dict()
    assert all(torch.equal(state[name], expected_state[name]) for name in expected_state)
    assert torch.equal(logits(model), logits(expected))


def test_packed_files_load_in_another_type_and_in_int8(save: Save, tmp_path: Path) -> None:
    folder = pack_folder(save(dtype=torch.bfloat16), tmp_path / "packed")
    assert load(folder).dtype == torch.bfloat16
    model = load(folder, dtype=torch.float32, values="int8")
    weights = sparse_weights(model)
    assert model.dtype == torch.float32
    assert weights
    assert {weight.kept.dtype for weight in weights.values()} == {torch.int8}


def test_a_mask_on_its_base_gives_the_pruned_model(save: Save, tmp_path: Path) -> None:
    base = save(zeros=0.0)
    pruned, masks = prune(base, tmp_path / "pruned"), tmp_path / "masks"
    masks.mkdir()
    make_mask(
        pruned / WEIGHTS, base / WEIGHTS, masks / "model.mask", origin=Origin(source="hub", id="org/model", revision="a" * 40)
    )
    model = load(base, mask=masks)
    assert len(sparse_weights(model)) == 14
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(pruned)))

    state = load_file(base / WEIGHTS)
    state["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    other = tmp_path / "other"
    shutil.copytree(base, other)
    save_file(state, other / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(WrongBase, match=r"up_proj\.weight differs in .*other; the masks are those of org/model at revision a"):
        load(other, mask=masks)
    with pytest.raises(WrongBase, match=r"has no weight .*; the masks are those of org/model"):
        load(save("gpt2", name="gpt2"), mask=masks)


def test_damaged_and_incomplete_files_are_refused(save: Save, tmp_path: Path) -> None:
    folder = pack_folder(save(), tmp_path / "packed")
    with pytest.raises(NotPacked, match=r"has no \.packed files"):
        load(save(name="dense"))
    content = bytearray((folder / "model.packed").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.packed").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"model\.packed is damaged"):
        load(folder)

    part = tmp_path / "part"
    state = load_file(save(name="whole") / WEIGHTS)
    del state["model.layers.1.mlp.up_proj.weight"]
    (tmp_path / "less").mkdir()
    save_file(state, tmp_path / "less" / WEIGHTS, metadata={"format": "pt"})
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns("*.packed"))
    pack(tmp_path / "less" / WEIGHTS, part / "model.packed")
    with pytest.raises(IncompleteModel, match=r"missing weights, first model\.layers\.1\.mlp\.up_proj\.weight"):
        load(part)


def test_a_packed_model_without_zeros_is_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(NotSparse, match="load the model without SparseConfig"):
        load(pack_folder(save(zeros=0.0), tmp_path / "packed"))
