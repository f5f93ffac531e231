"""The parts of PyTorch that know CUDA devices, answering for strict ones."""

import ctypes
import os
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # every dispatch mode imports it, which must not happen while functions are replaced
from torch import Tensor

from tests.support.strict_device.costs import Rates
from tests.support.strict_device.events import Event, Stream
from tests.support.strict_device.mode import StrictCuda
from tests.support.strict_device.tensors import OPEN, DeviceTensor


@contextmanager
def strict_cuda(
    *,
    devices: int = 1,
    memory: int = 80 << 30,
    pinned_memory: int | None = None,
    numbers: bool = True,
    rates: Rates = Rates(),  # noqa: B008 - frozen
    code: tuple[str, ...] = ("/worker/",),
) -> Iterator[StrictCuda]:
    """Provide CUDA devices with `memory` bytes each inside the context, and at most `pinned_memory` bytes of pinned memory.

    Args:
        numbers: if False, device tensors have shapes only, see `shapes`.
        rates: seconds by which the clocks of `counts` advance.
        code: parts of the paths of the files whose lines are counted.
    """
    cuda = StrictCuda(devices, memory, pinned_memory, rates, code, numbers=numbers)
    with ExitStack() as stack:
        stack.enter_context(_device_guard())
        stack.enter_context(mock.patch.dict(os.environ, HF_DEACTIVATE_ASYNC_LOAD="1"))  # a mode is the thread's
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device="cuda") is made on the CPU and then moved
        stack.enter_context(mock.patch.object(torch, "_has_compatible_shallow_copy_type", _may_share_parameter))
        stack.enter_context(mock.patch.object(torch.accelerator, "empty_host_cache", cuda.pinned.empty_cache))
        for name, function in _answers(cuda).items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        _attention_as_one_operator()
        OPEN.append(cuda)
        stack.callback(OPEN.remove, cuda)
        stack.enter_context(cuda)
        yield cuda


def _answers(cuda: StrictCuda) -> dict[str, Callable[..., Any]]:
    """Return the replacements of functions of `torch.cuda`."""
    memory = cuda.memory

    def index(device: Any = None) -> int:
        if device is None or isinstance(device, int):
            return cuda.current if device is None else device
        found = torch.device(device).index
        return cuda.current if found is None else found

    def properties(device: Any = None) -> Any:
        return types.SimpleNamespace(name=f"strict {index(device)}", total_memory=memory.capacity, major=9, minor=0)

    def reset_peak(device: Any = None) -> None:
        memory.peak[index(device)] = memory.allocated[index(device)]

    def set_device(device: Any) -> None:
        cuda.current = index(device)

    return {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: cuda.devices,
        "current_device": lambda: cuda.current,
        "set_device": set_device,
        "current_stream": lambda device=None: Stream(index(device)),
        "Event": lambda **_: Event(cuda.counts, cuda.current),
        "synchronize": lambda *_: cuda.wait("synchronize"),
        "get_device_name": lambda device=None: properties(device).name,
        "get_device_properties": properties,
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda device=None: (memory.capacity - memory.allocated[index(device)], memory.capacity),
        "memory_allocated": lambda device=None: memory.allocated[index(device)],
        "max_memory_allocated": lambda device=None: memory.peak[index(device)],
        "reset_peak_memory_stats": reset_peak,
        "empty_cache": lambda: None,
        "get_rng_state": lambda *_: torch.empty(0, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "_is_in_bad_fork": lambda: False,
    }


_IS_COMPATIBLE = torch._has_compatible_shallow_copy_type


def _may_share_parameter(one: Tensor, other: Tensor) -> bool:
    """Return whether `Module.to` may change a parameter in place, which it may not on a strict device."""
    return not isinstance(one, DeviceTensor) and not isinstance(other, DeviceTensor) and _IS_COMPATIBLE(one, other)


class _Guard(torch._C._acc.DeviceGuard):
    """Guard that PyTorch asks for the current device: cuda:0."""

    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.CUDA


@contextmanager
def _device_guard() -> Iterator[None]:
    """Lend PyTorch's CPU build a device guard for CUDA, which it lacks.

    A guard written in Python can be registered for the device type PrivateUse1; from there its address is copied to CUDA's
    place. The registry is an array of pointers by device type, which libc10 exports; a build for CUDA has no gap there.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    kinds = torch._C._autograd.DeviceType
    registry = (ctypes.c_void_p * (kinds.PrivateUse1.value + 1)).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    if registry[kinds.CUDA.value]:
        raise RuntimeError("Strict devices need PyTorch's CPU build; this one supports real CUDA devices.")
    if not registry[kinds.PrivateUse1.value]:
        torch._C._acc.register_python_privateuseone_device_guard(_Guard())
    registry[kinds.CUDA.value] = registry[kinds.PrivateUse1.value]
    try:
        yield
    finally:
        registry[kinds.CUDA.value] = None


_LIBRARIES: list[Any] = []


def _attention_as_one_operator() -> None:
    """Keep attention one operator, as it is one kernel on CUDA; registered once for the process."""
    if _LIBRARIES:
        return
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]

    def attention(*args: Any, **kwargs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.aten.scaled_dot_product_attention.default(*args, **kwargs)

    library.impl("scaled_dot_product_attention", attention, "AutogradCUDA")  # type: ignore[no-untyped-call]
    _LIBRARIES.append(library)
