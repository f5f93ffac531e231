"""Dispatch mode that runs every operator as a CUDA device would."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.strict_device import shapes
from tests.support.strict_device.costs import Rates, bytes_of, flop_of, launches_of, rate_of, touched
from tests.support.strict_device.counts import Counts
from tests.support.strict_device.device_memory import DeviceMemory
from tests.support.strict_device.pinned_memory import PinnedMemory
from tests.support.strict_device.rules import INDEXED, MOVES, WAITING, check
from tests.support.strict_device.tensors import DeviceTensor, are_views, hidden_of, replaced, tensors_in

_CPU = torch.device("cpu")
_NO_KERNEL_RUNS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh"})


class StrictCuda(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The devices, their memory and counts. `strict_cuda` enters it and makes `torch.cuda` answer for it."""

    def __init__(
        self, devices: int, memory: int, pinned_memory: int | None, rates: Rates, code: tuple[str, ...], *, numbers: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices
        self.current = 0
        self.memory = DeviceMemory(devices, memory)
        self.pinned = PinnedMemory(pinned_memory)
        self.counts = Counts(rates, code)
        self._place = _CPU if numbers else shapes.META  # of the hidden tensors

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
        self.counts.wait(name)
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
        made = func(*args, **kwargs)
        operands, results = tensors_in((args, kwargs)), tensors_in(made)
        if not _is_free(func, name, operands, results) and not any(each.is_meta for each in (*operands, *results)):
            self.counts.compute_on_host(name, sum(map(touched, (*operands, *results))))
        return made

    def _move(self, name: str, args: Any, kwargs: dict[str, Any], asked: torch.device | None) -> Any:
        """Run `_to_copy` or `copy_`, of which at least one side is on a device."""
        if name == "copy":
            target, source = args[0], args[1]
            is_async = bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            if not isinstance(target, DeviceTensor):
                self.pinned.check_host_access(torch.ops.aten.copy_.default, (target, target), {})
            hidden = hidden_of(source)
            hidden_of(target).copy_(torch.zeros_like(hidden, device=_CPU) if _lacks_numbers(hidden, target) else hidden)
        else:
            source, to = args[0], asked or args[0].device
            is_async = bool(kwargs.get("non_blocking"))
            target = self._copied(name, source, to, kwargs)
        self._count_move(source, target, is_async=is_async)
        return target

    def _copied(self, name: str, source: Tensor, to: torch.device, kwargs: dict[str, Any]) -> Tensor:
        """Return a copy of `source`, of whose two devices one is strict; zeros on the host of a tensor without numbers."""
        place = self._place if to.type == "cuda" else to
        dtype, form = kwargs.get("dtype") or source.dtype, kwargs.get("memory_format") or torch.preserve_format
        hidden = hidden_of(source)
        if hidden.is_meta and place == _CPU:
            target = torch.zeros(hidden.shape, dtype=dtype)
        else:
            target = hidden.to(place, dtype, copy=True, memory_format=form)
        if to.type == "cuda":
            return self._wrap(target, to, name)
        return self.pinned.pin(target) if kwargs.get("pin_memory") else target

    def _count_move(self, source: Tensor, target: Tensor, *, is_async: bool) -> None:
        kinds = source.device.type, target.device.type
        if "meta" in kinds:
            return
        if kinds == ("cuda", "cuda"):
            self.counts.launch("copy", 1, touched(source) + touched(target), 0, self.counts.rates.half)
            return
        to_device = kinds == ("cpu", "cuda")
        host = source if to_device else target
        is_pinned = self.pinned.is_pinned(host)
        self.counts.copy("copy", source.numel() * source.element_size(), is_pinned=is_pinned)
        if is_async and is_pinned:
            self.pinned.begin_copy(host, to_device=to_device)
        elif not is_async or not to_device:
            self.wait("copy")

    def _compute(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], ours: list[DeviceTensor], device: torch.device
    ) -> Any:
        known = {id(each.hidden): each for each in ours}
        sizes = {key: each.hidden.shape for key, each in known.items()}
        args, kwargs = replaced((args, kwargs), hidden_of)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self._place}
        counted = args, kwargs
        if name in ("_softmax", "_log_softmax") and args[2]:  # from half to float in one kernel: only on CUDA
            args = (args[0].float(), args[1], False)
        if func is torch.ops.aten.mm.dtype:  # without a kernel for the CPU
            func, args = torch.ops.aten.mm.default, tuple(each.to(args[2]) for each in args[:2])
        made: Any
        if self._place == _CPU:
            made = func(*args, **kwargs)
        elif name in ("_local_scalar_dense", "equal"):
            made = name == "equal" or shapes.read(ours[0])
        else:
            made = shapes.compute(func, name, args, kwargs)
        if any(each.hidden.shape != sizes[key] for key, each in known.items()):
            raise NotImplementedError(f"{func} changes a tensor's shape in place, which strict devices do not follow.")
        self._count(func, name, *counted, made)
        return replaced(made, lambda each: known[id(each)] if id(each) in known else self._wrap(each, device, name))

    def _count(self, func: Any, name: str, args: Any, kwargs: dict[str, Any], made: Any) -> None:
        operands, results = tensors_in((args, kwargs)), tensors_in(made)
        is_in_place, rates = bool(func._schema.is_mutable), self.counts.rates
        if name != "_local_scalar_dense" and not _is_free(func, name, operands, results):
            size, flop = bytes_of(name, is_in_place, args, kwargs, results), flop_of(name, operands, results)
            self.counts.launch(name, launches_of(name, is_in_place, operands), size, flop, rate_of(name, operands, rates))
        masks = [each for each in args[1] if each is not None and each.dtype is torch.bool] if name in INDEXED else []
        if masks:
            self.counts.launch("nonzero", launches_of("nonzero", False, masks), sum(map(touched, masks)), 0, rates.half)
        if masks or name in WAITING:
            self.wait(name)

    def _wrap(self, hidden: Tensor, device: torch.device, name: str) -> DeviceTensor:
        self.memory.hold(hidden, device.index)
        return DeviceTensor(hidden, device, name)


def _is_free(func: Any, name: str, operands: list[Tensor], results: list[Tensor]) -> bool:
    """Return whether an operator only allocates or makes views, for which no kernel runs."""
    return name in _NO_KERNEL_RUNS or are_views(func, results, operands)


def _lacks_numbers(hidden: Tensor, target: Tensor) -> bool:
    return hidden.is_meta and not hidden_of(target).is_meta


@cache
def _described(func: Any) -> tuple[str, bool]:
    """Return an operator's name without the mark of its in-place form, and whether it is decomposed into others."""
    name = func._schema.name.removeprefix("aten::")
    name = name if name.startswith("__") else name.rstrip("_")
    is_composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return name, is_composite and name != "scaled_dot_product_attention"
