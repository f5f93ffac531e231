"""Tensors among the arguments of layers: each stored once, on a GPU only as far as batches share them."""

from pathlib import Path

import pytest
import torch

from tests.support.engine import families, tiny_decoders
from tests.support.strict_device import strict_cuda
from worker.engine.activations.argument_pool import ArgumentPool
from worker.engine.activations.batches import LayerArguments, OnHost
from worker.engine.activations.capture import record
from worker.engine.activations.store import ActivationStore
from worker.engine.model.structure import load_structure

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool], ids=str)
def test_equal_tensors_are_one_and_others_are_not(dtype: torch.dtype) -> None:
    pool, x = ArgumentPool(ActivationStore(), CPU), torch.tensor([[1.0, 0.0], [0.0, 2.0]]).to(dtype)
    pool.start_batch()
    first, again, mirrored, flat = (pool.share(each) for each in (x, x.clone(), x.flip(0), x.flatten()))
    assert first is again is x
    assert torch.equal(mirrored, x.flip(0))
    assert flat.shape == (4,)


def test_a_tensor_is_compared_only_with_tensors_of_its_sum() -> None:
    """Each comparison would make the host wait for the device."""
    with strict_cuda() as cuda:
        pool = ArgumentPool(ActivationStore(), torch.device("cuda"))
        for batch in range(20):
            pool.start_batch()
            shared, own = torch.ones(4, device="cuda"), torch.full((4,), float(batch + 2), device="cuda")
            for _ in range(3):
                pool.share({"mask": shared, "others": (own, None)})
        assert cuda.counts.waits["equal"] == 19
        assert cuda.counts.waits["_local_scalar_dense"] == 40


def test_tensors_of_single_batches_are_on_the_host() -> None:
    with strict_cuda(devices=2):
        device = torch.device("cuda:1")
        pool, first = ArgumentPool(ActivationStore(pinned=True), device), torch.ones(4, device=device)
        pool.start_batch()
        assert pool.share(first) is first
        pool.start_batch()
        own = first * 2
        kept = pool.share({"shared": first.clone(), "own": [own]})
        assert kept["shared"] is first
        assert isinstance(kept["own"][0], OnHost)
        assert kept["own"][0].tensor.is_pinned()
        _, arguments = LayerArguments((), kept).on(device)
        assert torch.equal(arguments["own"][0], own)


def test_device_memory_does_not_grow_with_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 3n has inputs per layer, which every sample brings along."""
    tiny_decoders.save("gemma3n_text", tmp_path)
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", families.LENGTH)
    allocated = []
    for samples in (2, 6):
        with strict_cuda() as cuda:
            stream = record(load_structure(tmp_path), families.tokens(samples), torch.device("cuda"), lambda: None)
            allocated.append(cuda.memory.allocated[0])
            assert len(stream.states) == samples
            del stream
    assert allocated[0] == allocated[1] > 0
