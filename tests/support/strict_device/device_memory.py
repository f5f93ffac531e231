"""Memory of the devices: a limit, and what is allocated, from the storages that are alive."""

import weakref

import torch
from torch import Tensor

from tests.support.strict_device.tensors import storage_key

_GRANULE = 512  # bytes, to which CUDA's caching allocator rounds


class DeviceMemory:
    """Allocated and peak bytes of each device."""

    def __init__(self, devices: int, capacity: int) -> None:
        self.capacity = capacity
        self.allocated, self.peak = [0] * devices, [0] * devices
        self._known: set[int] = set()

    def hold(self, hidden: Tensor, index: int) -> None:
        """Account a tensor's storage until it is freed. OutOfMemoryError if it does not fit."""
        key = storage_key(hidden)
        if key in self._known:
            return
        storage = hidden.untyped_storage()
        size = -(-int(storage.nbytes()) // _GRANULE) * _GRANULE
        if self.allocated[index] + size > self.capacity:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {_readable(size)}. GPU {index} has a total capacity of "
                f"{_readable(self.capacity)} of which {_readable(self.capacity - self.allocated[index])} is free."
            )
        self._known.add(key)
        self.allocated[index] += size
        self.peak[index] = max(self.peak[index], self.allocated[index])
        weakref.finalize(storage, self._free, key, index, size).atexit = False

    def _free(self, key: int, index: int, size: int) -> None:
        self._known.discard(key)
        self.allocated[index] -= size


def _readable(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.2f} MiB"
