from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit.worker.engine import families
from worker.engine.architectures import take_apart
from worker.engine.loading import choose_device, compute_dtype, loaded_block, loaded_surroundings

Checkpoints = Callable[[str], Path]
CPU = torch.device("cpu")


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_loaded_block_holds_what_transformers_loads_and_is_empty_afterwards(checkpoint: Checkpoints, family: str) -> None:
    arch, model = take_apart(checkpoint(family)), families.load(checkpoint(family))
    for block in arch.blocks:
        expected = model.get_submodule(block.name).state_dict()
        with loaded_block(arch, block, CPU) as module:
            assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())
            others = [other for other in arch.blocks if other is not block]
            assert all(p.is_meta for other in others for p in other.module.parameters())
        assert all(p.is_meta for p in block.module.parameters())


@pytest.mark.parametrize("family", families.FAMILIES)
def test_loaded_surroundings_hold_all_but_the_blocks_buffers_included(checkpoint: Checkpoints, family: str) -> None:
    arch, model = take_apart(checkpoint(family)), families.load(checkpoint(family))
    expected = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    with loaded_surroundings(arch, arch.model, CPU):
        loaded = dict(arch.model.named_parameters(remove_duplicate=False)) | dict(arch.model.named_buffers())
        assert set(loaded) == set(expected)
        for name, tensor in loaded.items():
            if any(name.startswith(block.name + ".") for block in arch.blocks):
                assert tensor.is_meta
            else:
                assert torch.equal(tensor, expected[name]), name
    assert all(p.is_meta for p in arch.model.parameters())


def test_tied_weights_are_one_tensor(checkpoint: Checkpoints) -> None:
    arch = take_apart(checkpoint("llama_tied"))
    with loaded_surroundings(arch, arch.model, CPU):
        assert arch.model.lm_head.weight is arch.model.model.embed_tokens.weight


def test_a_block_is_emptied_after_a_failure(checkpoint: Checkpoints) -> None:
    arch = take_apart(checkpoint("llama"))
    with pytest.raises(ZeroDivisionError), loaded_block(arch, arch.blocks[0], CPU):
        raise ZeroDivisionError
    assert all(p.is_meta for p in arch.blocks[0].module.parameters())


@pytest.mark.parametrize(
    ("stored", "device", "computed"),
    [
        (torch.float32, "cpu", torch.float32),
        (torch.bfloat16, "cpu", torch.bfloat16),
        (torch.float16, "cpu", torch.float32),
        (torch.float16, "cuda", torch.float16),
    ],
)
def test_computing_is_in_the_stored_type_but_not_in_float16_on_a_cpu(
    tmp_path: Path, stored: torch.dtype, device: str, computed: torch.dtype
) -> None:
    arch = take_apart(families.save("llama", tmp_path, dtype=stored))
    assert compute_dtype(arch.model, torch.device(device)) == computed


@pytest.mark.parametrize(("has_gpu", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, has_gpu: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device("auto").type == kind
    assert choose_device("cpu").type == "cpu"
