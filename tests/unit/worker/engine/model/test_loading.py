from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.engine import families, tiny_decoders
from worker.engine.model.loading import choose_device, compute_dtype, loaded_block, loaded_non_block_weights
from worker.engine.model.structure import load_structure

Checkpoints = Callable[[str], Path]
CPU = torch.device("cpu")


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_loaded_block_matches_transformers_and_is_emptied(checkpoint: Checkpoints, family: str) -> None:
    arch, model = load_structure(checkpoint(family)), families.load(checkpoint(family))
    for block in arch.blocks:
        expected = model.get_submodule(block.name).state_dict()
        with loaded_block(arch, block, CPU) as module:
            assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())
            others = [other for other in arch.blocks if other is not block]
            assert all(p.is_meta for other in others for p in other.module.parameters())
        assert all(p.is_meta for p in block.module.parameters())


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_model_without_blocks_includes_buffers(checkpoint: Checkpoints, family: str) -> None:
    arch, model = load_structure(checkpoint(family)), families.load(checkpoint(family))
    expected = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    with loaded_non_block_weights(arch, arch.model, CPU):
        loaded = dict(arch.model.named_parameters(remove_duplicate=False)) | dict(arch.model.named_buffers())
        assert set(loaded) == set(expected)
        for name, tensor in loaded.items():
            if any(name.startswith(block.name + ".") for block in arch.blocks):
                assert tensor.is_meta
            else:
                assert torch.equal(tensor, expected[name]), name
    assert all(p.is_meta for p in arch.model.parameters())


@pytest.mark.parametrize("model_type", ["gpt2", "mixtral", "gpt_oss", "nemotron_h", "falcon_h1", "gemma3n_text"])
def test_other_checkpoint_layouts_load_like_transformers(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path)
    arch, model = load_structure(tmp_path), tiny_decoders.load(tmp_path)
    for block in arch.blocks:
        expected = model.get_submodule(block.name)
        with loaded_block(arch, block, CPU) as module:
            found = dict(module.named_parameters()) | dict(module.named_buffers())
            for name, tensor in (dict(expected.named_parameters()) | dict(expected.named_buffers())).items():
                assert torch.equal(found[name], tensor), name


def test_tied_weights_are_one_tensor(checkpoint: Checkpoints) -> None:
    arch = load_structure(checkpoint("llama_tied"))
    with loaded_non_block_weights(arch, arch.model, CPU):
        assert arch.model.lm_head.weight is arch.model.model.embed_tokens.weight


def test_a_block_is_emptied_after_a_failure(checkpoint: Checkpoints) -> None:
    arch = load_structure(checkpoint("llama"))
    with pytest.raises(ZeroDivisionError), loaded_block(arch, arch.blocks[0], CPU):
        raise ZeroDivisionError
    assert all(p.is_meta for p in arch.blocks[0].module.parameters())


@pytest.mark.parametrize(
    ("stored", "computed"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)],
)
def test_the_stored_dtype_is_used_except_float16(tmp_path: Path, stored: torch.dtype, computed: torch.dtype) -> None:
    arch = load_structure(families.save("llama", tmp_path, dtype=stored))
    assert compute_dtype(arch.model) == computed


@pytest.mark.parametrize(("has_gpu", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_selects_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, has_gpu: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device("auto").type == kind
    assert choose_device("cpu").type == "cpu"
