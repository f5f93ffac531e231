"""The simulated CUDA devices refuse what CUDA refuses, and account what it would."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.support.strict_device import StrictCuda, strict_cuda

CAPACITY = 1 << 20


@pytest.fixture
def cuda() -> Iterator[StrictCuda]:
    with strict_cuda(devices=2, memory=CAPACITY, pinned_memory=CAPACITY) as devices:
        yield devices


def ones(device: str = "cuda:0", dtype: torch.dtype = torch.float32) -> Any:
    return torch.ones(4, 4, device=device, dtype=dtype)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a CPU operand": (lambda: ones() + ones("cpu"), RuntimeError, "cpu and cuda:0"),
    "two devices": (lambda: ones() @ ones("cuda:1"), RuntimeError, "cuda:0 and cuda:1"),
    "a mask on another device": (lambda: ones("cpu")[ones().bool()], RuntimeError, "indices should be"),
    "a CPU result": (lambda: torch.mm(ones(), ones(), out=ones("cpu")), RuntimeError, "cpu and cuda:0"),
    "products of integers": (lambda: ones(dtype=torch.int64) @ ones(dtype=torch.int64), NotImplementedError, "int64"),
    "wide products of other types": (
        lambda: torch.mm(ones(), ones(), out_dtype=torch.float64),
        RuntimeError,
        "fp32 for fp16/bf16",
    ),
    "wide products of two types": (
        lambda: torch.mm(ones(), ones(dtype=torch.bfloat16), out_dtype=torch.float32),
        RuntimeError,
        "dtypes must be the same",
    ),
    "a factor in bfloat16": (lambda: torch.linalg.cholesky(ones(dtype=torch.bfloat16)), NotImplementedError, "bfloat16"),
    "NumPy": (lambda: ones().numpy(), TypeError, "to numpy"),
    "a device that is not there": (lambda: ones("cuda:2"), torch.AcceleratorError, "invalid device ordinal"),
    "too much memory": (lambda: torch.empty(CAPACITY, device="cuda"), torch.OutOfMemoryError, "Tried to allocate 4.00 MiB"),
    "too much pinned memory": (lambda: torch.empty(CAPACITY, pin_memory=True), torch.AcceleratorError, "out of memory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_faulty_calls_are_refused(cuda: StrictCuda, name: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_what_cuda_takes_is_taken(cuda: StrictCuda) -> None:
    x = ones()
    for result in (
        x * torch.tensor(2.0),
        x[torch.tensor([0, 1])],
        x.to("cuda:1").to("cuda:0"),
        x.where(x > 1, torch.tensor(3.0)),
        torch.mm(x.bfloat16(), x.bfloat16(), out_dtype=torch.float32),
    ):
        assert result.device == x.device
        assert result.is_cuda
    assert x.cpu().numpy().sum() == 16


def test_a_copy_settles_only_when_the_host_waits(cuda: StrictCuda) -> None:
    x, pinned = ones(), torch.empty(2, 4, 4, pin_memory=True)
    pinned[0].copy_(x, non_blocking=True)
    assert float(pinned[1].fill_(3).sum()) == 48  # another part of the same memory
    with pytest.raises(RuntimeError, match="Race"):
        pinned[0].sum()
    torch.cuda.synchronize()
    assert float(pinned[0].sum()) == 16
    pinned[0].to("cuda:1", non_blocking=True)
    assert float(pinned[0].sum()) == 16
    with pytest.raises(RuntimeError, match="Race"):
        pinned[0].zero_()


def test_memory_is_that_of_the_storages_that_are_alive(cuda: StrictCuda) -> None:
    x = torch.empty(1000, device="cuda:1")
    view = x[:10]
    del x
    torch.empty(3000, device="cuda:1")
    assert [torch.cuda.memory_allocated(index) for index in range(2)] == [0, 4096]
    assert torch.cuda.max_memory_allocated("cuda:1") == 4096 + 12288
    del view
    assert torch.cuda.memory_allocated("cuda:1") == 0


def test_launches_and_waits_are_counted(cuda: StrictCuda) -> None:
    x = ones()
    cuda.counts.clear()
    y = (x @ x).view(-1)[2:]
    assert (cuda.counts.launches, cuda.counts.waits.total()) == ({"mm": 1}, 0)
    assert float(y.sum()) == 56
    assert (cuda.counts.launches.total(), cuda.counts.waits.total()) == (2, 1)


def test_the_cpu_is_as_before_when_the_devices_are_closed() -> None:
    with strict_cuda():
        left = ones()
    assert not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match="after the device was closed"):
        left + 1
    with pytest.raises((RuntimeError, AssertionError)):
        ones()
