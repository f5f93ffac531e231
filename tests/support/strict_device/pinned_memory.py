"""Pinned host memory: its allocator, and the asynchronous copies that may still use it."""

import weakref
from typing import Any

import torch
from torch import Tensor

from tests.support.strict_device.tensors import arguments_of, byte_range, storage_key

_Region = tuple[int, int, int]  # storage, first byte, last byte + 1


class PinnedMemory:
    """Pinned memory of the process; `held` bytes are taken from the host until `empty_cache`."""

    def __init__(self, capacity: int | None) -> None:
        self.held = 0  # in blocks of powers of two, as PyTorch's host allocator rounds
        self.requested = 0
        self._capacity = capacity
        self._pinned: set[int] = set()
        self._free: list[int] = []
        self._read: list[_Region] = []  # by copies to a device, perhaps still
        self._written: list[_Region] = []  # by copies from a device, perhaps still

    def pin(self, made: Tensor) -> Tensor:
        """Mark a tensor's storage as pinned. AcceleratorError if the host refuses."""
        storage, key = made.untyped_storage(), storage_key(made)
        size = int(storage.nbytes())
        if key in self._pinned or not size:
            return made
        block = 1 << (size - 1).bit_length()
        if block in self._free:
            self._free.remove(block)
        elif self._capacity is not None and self.held + block > self._capacity:
            raise torch.AcceleratorError("CUDA error: out of memory")
        else:
            self.held += block
        self._pinned.add(key)
        self.requested += size
        weakref.finalize(storage, self._unpin, key, size, block).atexit = False
        return made

    def is_pinned(self, value: Tensor) -> bool:
        """Return whether a tensor is in pinned memory."""
        return storage_key(value) in self._pinned

    def empty_cache(self) -> None:
        """Return the unoccupied blocks to the host."""
        self.held -= sum(self._free)
        self._free.clear()

    def begin_copy(self, host: Tensor, *, to_device: bool) -> None:
        """Note an asynchronous copy from or to pinned memory."""
        (self._read if to_device else self._written).append(_region(host))

    def settle(self) -> None:
        """Note that the host has waited for the device: no copy is under way."""
        self._read.clear()
        self._written.clear()

    def check_host_access(self, func: Any, args: Any, kwargs: Any) -> None:
        """Raise RuntimeError if a host operator races with an asynchronous copy."""
        if not (self._read or self._written) or _makes_view(func):
            return
        for value, is_written in arguments_of(func, args, kwargs):
            region = _region(value)
            if any(_overlap(region, other) for other in self._written):
                raise RuntimeError(f"Race: {func} uses pinned memory into which a copy from the device may be under way.")
            if is_written and any(_overlap(region, other) for other in self._read):
                raise RuntimeError(f"Race: {func} writes to pinned memory that a copy to the device may still read.")

    def _unpin(self, key: int, size: int, block: int) -> None:
        self._pinned.discard(key)
        self.requested -= size
        self._free.append(block)
        self._read = [region for region in self._read if region[0] != key]
        self._written = [region for region in self._written if region[0] != key]


def _makes_view(func: Any) -> bool:
    schema = func._schema
    return not schema.is_mutable and any(result.alias_info is not None for result in schema.returns)


def _region(value: Tensor) -> _Region:
    return (storage_key(value), *byte_range(value))


def _overlap(one: _Region, other: _Region) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]
