"""Dispatch mode that runs every operator as a CUDA device would."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.strict_device.device_memory import DeviceMemory
from tests.support.strict_device.events import Counts
from tests.support.strict_device.pinned_memory import PinnedMemory
from tests.support.strict_device.rules import INDEXED, MOVES, WAITING, check
from tests.support.strict_device.tensors import DeviceTensor, are_views, hidden_of, replaced, tensors_in

_CPU = torch.device("cpu")
_NO_KERNEL_RUNS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh"})


class StrictCuda(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The devices, their memory and counts. `strict_cuda` enters it and makes `torch.cuda` answer for it."""

    def __init__(self, devices: int, memory: int, pinned_memory: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.current = 0
        self.memory = DeviceMemory(devices, memory)
        self.pinned = PinnedMemory(pinned_memory)
        self.counts = Counts()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run one operator."""
        name, is_composite = _described(func)
        if is_composite:
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        tensors = tensors_in((args, kwargs))
        ours = [each for each in tensors if isinstance(each, DeviceTensor)]
        asked = self._requested(kwargs.get("device"))
        if not ours and (asked is None or asked.type != "cuda"):
            return self._on_host(func, name, args, kwargs)
        check(name, args, tensors)
        if name in MOVES:
            return self._move(name, args, kwargs, asked)
        return self._compute(func, name, args, kwargs, ours, asked or ours[0].device)

    def wait(self, name: str) -> None:
        """Make the host wait for the device."""
        self.counts.waits[name] += 1
        self.counts.reached = self.counts.launches.total()
        self.pinned.settle()

    def _requested(self, device: Any) -> torch.device | None:
        if device is None:
            return None
        found = torch.device(device)
        if found.type != "cuda":
            return found
        index = self.current if found.index is None else found.index
        if index >= self.devices:
            raise torch.AcceleratorError(f"CUDA error: invalid device ordinal ({found}, of {self.devices})")
        return torch.device("cuda", index)

    def _on_host(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        if name == "is_pinned":
            return self.pinned.is_pinned(args[0])
        self.pinned.check_host_access(func, args, kwargs)
        if name == "_pin_memory":
            return self.pinned.pin(args[0].clone())
        if kwargs.get("pin_memory"):
            return self.pinned.pin(func(*args, **{**kwargs, "pin_memory": False}))
        return func(*args, **kwargs)

    def _move(self, name: str, args: Any, kwargs: dict[str, Any], asked: torch.device | None) -> Any:
        """Run `_to_copy` or `copy_`, of which at least one side is on a device."""
        if name == "copy":
            target, source = args[0], args[1]
            is_async = bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            if not isinstance(target, DeviceTensor):
                self.pinned.check_host_access(torch.ops.aten.copy_.default, (target, target), {})
            hidden_of(target).copy_(hidden_of(source))
        else:
            source, to = args[0], asked or args[0].device
            is_async = bool(kwargs.get("non_blocking"))
            dtype, form = kwargs.get("dtype") or source.dtype, kwargs.get("memory_format") or torch.preserve_format
            place = to if to.type == "meta" else _CPU
            target = hidden_of(source).to(place, dtype, copy=True, memory_format=form)
            if to.type == "cuda":
                target = self._wrap(target, to)
            if kwargs.get("pin_memory"):
                self.pinned.pin(target)
        self._count_move(source, target, is_async=is_async)
        return target

    def _count_move(self, source: Tensor, target: Tensor, *, is_async: bool) -> None:
        kinds = source.device.type, target.device.type
        if "meta" in kinds:
            return
        self.counts.launches["copy"] += 1
        if kinds == ("cuda", "cuda"):
            return
        to_device = kinds == ("cpu", "cuda")
        host = source if to_device else target
        is_pinned = self.pinned.is_pinned(host)
        if is_async and is_pinned:
            self.pinned.begin_copy(host, to_device=to_device)
        elif not is_async or not to_device:
            self.wait("copy")

    def _compute(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], ours: list[DeviceTensor], device: torch.device
    ) -> Any:
        known = {id(each.hidden): each for each in ours}
        shapes = {key: each.hidden.shape for key, each in known.items()}
        args, kwargs = replaced((args, kwargs), hidden_of)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _CPU}
        if name in ("_softmax", "_log_softmax") and args[2]:  # from half to float in one kernel: only on CUDA
            args = (args[0].float(), args[1], False)
        if func is torch.ops.aten.mm.dtype:  # without a kernel for the CPU
            func, args = torch.ops.aten.mm.default, tuple(each.to(args[2]) for each in args[:2])
        made = func(*args, **kwargs)
        if any(each.hidden.shape != shapes[key] for key, each in known.items()):
            raise NotImplementedError(f"{func} changes a tensor's shape in place, which strict devices do not follow.")
        self._count(func, name, args, kwargs, made)
        return replaced(made, lambda each: known[id(each)] if id(each) in known else self._wrap(each, device))

    def _count(self, func: Any, name: str, args: Any, kwargs: dict[str, Any], made: Any) -> None:
        is_free = name in _NO_KERNEL_RUNS or are_views(func, tensors_in(made), tensors_in((args, kwargs)))
        if not is_free and name != "_local_scalar_dense":
            self.counts.launches[name] += 1
        by_mask = name in INDEXED and any(index is not None and index.dtype is torch.bool for index in args[1])
        if by_mask or name in WAITING:
            self.wait(name)

    def _wrap(self, hidden: Tensor, device: torch.device) -> DeviceTensor:
        self.memory.hold(hidden, device.index)
        return DeviceTensor(hidden, device)


@cache
def _described(func: Any) -> tuple[str, bool]:
    """Return an operator's name without the mark of its in-place form, and whether it is decomposed into others."""
    name = func._schema.name.removeprefix("aten::")
    name = name if name.startswith("__") else name.rstrip("_")
    is_composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return name, is_composite and name != "scaled_dot_product_attention"
