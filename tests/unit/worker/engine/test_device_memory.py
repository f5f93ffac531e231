"""A device whose memory holds no more than one sample at a time: what torch raises then is raised by the stream."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.engine import families, tiny_decoders
from worker.engine import Journal, Recipe, perplexity, sparsify
from worker.engine.activations.batches import Stream
from worker.engine.errors import DeviceMemoryExhausted

Checkpoints = Callable[[str], Path]
MESSAGE = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 2 GiB"
OUT_OF_MEMORY = torch.OutOfMemoryError(MESSAGE)


@pytest.fixture
def small_device(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes the device take so many samples at a time; notes the sizes of the batches that it was given."""
    call, sizes = Stream._call, list[int]()

    def make(most: int, error: Exception = OUT_OF_MEMORY) -> list[int]:
        def refuse(self: Stream, layer: Any, index: int, batch: int) -> Any:
            sizes.append(self.sizes[batch])
            if self.sizes[batch] > most:
                raise error
            return call(self, layer, index, batch)

        monkeypatch.setattr(Stream, "_call", refuse)
        return sizes

    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 2 * families.LENGTH)
    return make


def test_a_batch_that_exceeds_memory_is_halved_once(
    checkpoint: Checkpoints, tmp_path: Path, small_device: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.from_dict({"preset": "balanced"})
    sizes = small_device(1)
    sparsify(checkpoint("llama"), tmp_path / "a", recipe, families.tokens(), device="cpu", journal=Journal(tmp_path / "journal"))
    assert sizes[0] == 2
    assert set(sizes[1:]) == {1}
    small_device(99)
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", families.LENGTH)
    sparsify(checkpoint("llama"), tmp_path / "b", recipe, families.tokens(), device="cpu")
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "error",
    [
        OUT_OF_MEMORY,
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("CUDA driver error: out of memory"),
    ],
    ids=str,
)
def test_an_evaluation_batch_that_exceeds_memory_is_halved(
    checkpoint: Checkpoints, small_device: Callable[..., list[int]], error: Exception
) -> None:
    expected = perplexity(checkpoint("llama"), families.tokens(), device="cpu").value
    small_device(1, error)
    assert perplexity(checkpoint("llama"), families.tokens(), device="cpu").value == pytest.approx(expected, rel=1e-5)


def test_exceeded_memory_at_batch_size_1_is_reported_with_bytes(
    checkpoint: Checkpoints, tmp_path: Path, small_device: Callable[..., list[int]]
) -> None:
    sizes = small_device(0)
    with pytest.raises(DeviceMemoryExhausted, match=r"at least 1\.5 GiB were needed"):
        sparsify(checkpoint("llama"), tmp_path, Recipe.from_dict({"criterion": "wanda"}), families.tokens(), device="cpu")
    assert sizes == [2, 1]


def test_other_errors_are_not_repeated(checkpoint: Checkpoints, small_device: Callable[..., list[int]]) -> None:
    sizes = small_device(1, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        perplexity(checkpoint("llama"), families.tokens(), device="cpu")
    assert sizes == [2]


@pytest.mark.parametrize(("family", "length"), [("llama", 2 * families.LENGTH), ("mixtral", families.LENGTH)])
def test_half_of_one_sample_is_not_tried(
    tmp_path: Path, small_device: Callable[..., list[int]], family: str, length: int
) -> None:
    """One sample is the smallest batch, and where there are experts the only one."""
    (families if family in families.FAMILIES else tiny_decoders).save(family, tmp_path / "source")
    sizes = small_device(0)
    with pytest.raises(DeviceMemoryExhausted, match=r"at least 1\.5 GiB were needed"):
        sparsify(
            tmp_path / "source",
            tmp_path / "target",
            Recipe.from_dict({"criterion": "wanda"}),
            families.tokens(length=length),
            device="cpu",
        )
    assert sizes == [1]
