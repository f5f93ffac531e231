"""Activation storage between passes: a pool of host memory that spills to memory-mapped files.

Page faults on fresh memory cost a good part of the time of the work that fills it. So released buffers are reused for the
next tensor of the same shape and dtype. With a GPU the memory is pinned, which fast copies need. Tensors that exceed the
memory limit are stored in unlinked, memory-mapped files, which the kernel caches as far as it can. The location of a
tensor changes no bit.
"""

import ctypes
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from service.contract.engine_sizes import ACTIVATIONS_SHARE

_C = ctypes.CDLL(None)
_LARGE = 1 << 27  # bytes of a block from which memory is trimmed
_SLAB = 1 << 26  # bytes: above the size that the allocator keeps for reuse; only touched pages are resident
_ALIGNED = 64  # bytes
_Kind = tuple[tuple[int, ...], torch.dtype]


class ActivationStore:
    """Pool of host tensors that live from one pass to a later one. Not thread-safe."""

    def __init__(self, *, room: int | None = None, scratch: Path | None = None, pinned: bool = False) -> None:
        """Limit memory to `room` bytes, by default half of the free memory; beyond that use files in `scratch`, if given."""
        self.in_memory = 0  # bytes in use or waiting for reuse
        self.in_files = 0
        self._room = int(free_memory() * ACTIVATIONS_SHARE) if room is None else room
        self._scratch = scratch
        self._pinned = pinned
        self._waiting: dict[_Kind, list[Tensor]] = defaultdict(list)
        self._slab = torch.empty(0, dtype=torch.uint8)  # its unused rest

    def put(self, x: Tensor) -> Tensor:
        """Store and return a host copy of a tensor on any device. OSError if it must go into a file and the disk is full."""
        waiting = self._waiting[tuple(x.shape), x.dtype]
        return (waiting.pop() if waiting else self._new(x)).copy_(x)

    def replace(self, kept: Tensor, x: Tensor) -> Tensor:
        """Store and return a copy of x, in the buffer of `kept` if shape and dtype match."""
        if kept.shape == x.shape and kept.dtype == x.dtype:
            return kept.copy_(x)
        self.release([kept])
        return self.put(x)

    def release(self, kept: Iterable[Tensor]) -> None:
        """Release tensors; their buffers will be overwritten."""
        for tensor in kept:
            self._waiting[tuple(tensor.shape), tensor.dtype].append(tensor)

    def _new(self, x: Tensor) -> Tensor:
        size = x.numel() * x.element_size()
        if self._scratch is not None and self.in_memory + size > self._room:
            self.in_files += size
            return _mapped(size, self._scratch).view(x.dtype).view(x.shape)
        self.in_memory += size
        if self._pinned:
            return torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        return self._cut(size).view(x.dtype).view(x.shape)

    def _cut(self, size: int) -> Tensor:
        """Return bytes of a slab; single buffers would fragment the heap, whose memory could then not be returned."""
        taken = -(-size // _ALIGNED) * _ALIGNED
        if taken > len(self._slab):
            self._slab = torch.empty(max(taken, _SLAB), dtype=torch.uint8)
        piece, self._slab = self._slab[:size], self._slab[taken:]
        return piece


def free_memory() -> int:
    """Return the bytes this process may still allocate: the host's free memory, or its control group's if less."""
    free = psutil.virtual_memory().available
    limit, used = (_read(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def give_back_memory(block: nn.Module | None = None) -> None:
    """Return freed heap memory to the kernel after a large block, because it would grow from block to block.

    For small blocks that costs more than it saves. Without a block: after a whole pass, so that passes do not add up.
    """
    size = _LARGE if block is None else sum(parameter.nbytes for parameter in block.parameters())
    if size >= _LARGE and hasattr(_C, "malloc_trim"):
        _C.malloc_trim(0)


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _mapped(size: int, folder: Path) -> Tensor:
    """Return bytes mapped to an unlinked file, which is deleted with the tensor. Disk blocks are allocated at once."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".activations")
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
        return torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
    finally:
        os.close(descriptor)
        Path(name).unlink()
