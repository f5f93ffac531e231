"""Device tensors over hidden CPU tensors."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import torch
from torch import Tensor

OPEN: list[Any] = []
"""The `StrictCuda` modes that are entered, the innermost last."""


class DeviceTensor(Tensor):
    """Tensor on a strict device; its numbers are in `hidden`, which is a meta tensor if it has none."""

    hidden: Tensor
    made_by: str
    """Operator that made it."""

    @staticmethod
    def __new__(cls, hidden: Tensor, device: torch.device, made_by: str) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls, hidden.shape, strides=hidden.stride(), storage_offset=hidden.storage_offset(), dtype=hidden.dtype, device=device
        )
        made.hidden, made.made_by = hidden, made_by
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if not OPEN:
            raise RuntimeError("A tensor of a strict device is used after the device was closed.")
        return OPEN[-1].run(func, args, kwargs or {})

    def untyped_storage(self) -> Any:
        return _StorageView(self.hidden, self.device)

    def data_ptr(self) -> int:
        return storage_key(self) + int(self.storage_offset()) * self.element_size()

    def is_pinned(self, *_: Any) -> bool:
        return False

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.cpu().numpy()
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy it to the host first."
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.setdefault(id(self), self.clone())

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"DeviceTensor({self.hidden!r}, device={self.device})"


class _StorageView:
    """Storage of a device tensor: its identity and size, without its bytes."""

    def __init__(self, hidden: Tensor, device: torch.device) -> None:
        self._hidden, self.device = hidden.untyped_storage(), device

    def data_ptr(self) -> int:
        return int(self._hidden._cdata)

    def nbytes(self) -> int:
        return int(self._hidden.nbytes())


def hidden_of(value: Tensor) -> Tensor:
    """Return the CPU tensor with the numbers: the hidden one of a device tensor, else the tensor itself."""
    return value.hidden if isinstance(value, DeviceTensor) else value


def storage_key(value: Tensor) -> int:
    """Return a number that identifies the tensor's storage while that exists."""
    return int(Tensor.untyped_storage(hidden_of(value))._cdata)


def byte_range(value: Tensor) -> tuple[int, int]:
    """Return the first and last + 1 byte that a tensor occupies in its storage."""
    if not value.numel():
        return 0, 0
    last = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    start = int(value.storage_offset())
    return start * value.element_size(), (start + last + 1) * value.element_size()


def tensors_in(value: Any) -> list[Tensor]:
    """Return all tensors in an argument, at any depth."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    return [found for each in value for found in tensors_in(each)] if isinstance(value, tuple | list) else []


def replaced(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return the argument with every tensor in it replaced."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: replaced(each, function) for key, each in value.items()}
    if isinstance(value, tuple | list):
        made = [replaced(each, function) for each in value]
        return made if isinstance(value, list) else tuple(made)
    return value


def arguments_of(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Tensor, bool]]:
    """Yield every tensor that an operator is given, and whether it writes to it."""
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        for each in tensors_in(value):
            yield each, is_written


def are_views(func: Any, results: Iterable[Tensor], operands: Iterable[Tensor]) -> bool:
    """Return whether an operator has only made views, for which no kernel is launched."""
    keys = {storage_key(each) for each in operands}
    made = list(results)
    return bool(made) and not func._schema.is_mutable and all(storage_key(each) in keys for each in made)
