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
from worker.engine.device_memory import is_device_memory_exhausted

_C = ctypes.CDLL(None)
_LARGE = 1 << 27  # bytes of a block from which memory is trimmed
_SLAB = 1 << 26  # bytes: above the size that the allocator keeps for reuse; only touched pages are resident
_IN_SLAB = 8  # tensors that a pinned slab is made for; PyTorch rounds its size up to a power of two
_ALIGNED = 64  # bytes
_Kind = tuple[tuple[int, ...], torch.dtype]


class ActivationStore:
    """Pool of host tensors that live from one pass to a later one. Not thread-safe."""

    def __init__(self, *, room: int | None = None, scratch: Path | None = None, pinned: bool = False) -> None:
        """Limit memory to `room` bytes, by default a share of the free memory; beyond that use files in `scratch`, if given.

        The share is that of the memory that is free whenever a slab is allocated, because several workers of a host may grow at
        the same time: none takes more than the others leave.
        """
        self.in_memory = 0  # bytes in use or waiting for reuse
        self.in_files = 0
        self._room = room
        self._slabs = 0  # bytes
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
        piece = self._cut(size)
        if piece is None:
            assert self._scratch is not None
            self.in_files += size
            return _mapped(size, self._scratch).view(x.dtype).view(x.shape)
        self.in_memory += size
        return piece.view(x.dtype).view(x.shape)

    def _cut(self, size: int) -> Tensor | None:
        """Return bytes of a slab, or None if they belong into a file.

        Single buffers would fragment the heap, whose memory could then not be returned, and pinned ones be rounded up.
        """
        if self._room is not None and self._scratch is not None and self.in_memory + size > self._room:
            return None
        taken = -(-size // _ALIGNED) * _ALIGNED
        if taken > len(self._slab):
            slab = max(taken, _SLAB)
            if self._pinned:
                slab = 1 << (max(slab, min(_IN_SLAB * taken, self._slabs)) - 1).bit_length()
            if self._room is None and self._scratch is not None and self._slabs + slab > self._share():
                return None
            self._slab = self._allocated(slab)
            self._slabs += slab
        piece, self._slab = self._slab[:size], self._slab[taken:]
        return piece

    def _share(self) -> int:
        return int((free_memory() + self._slabs) * ACTIVATIONS_SHARE)

    def _allocated(self, size: int) -> Tensor:
        if self._pinned:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:  # the driver can pin less memory than the host has
                if not is_device_memory_exhausted(error):
                    raise
                self._pinned = False
        return torch.empty(size, dtype=torch.uint8)


def free_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes this process may still allocate: the host's free memory, or its control group's if less.

    Cached files, which the group is charged for, count as free: the kernel drops them.
    """
    free = psutil.virtual_memory().available
    limit, used = (_read(group / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used + _cached_files(group)))


def give_back_memory(block: nn.Module | None = None, *, device: torch.device | None = None) -> None:
    """Return freed heap memory to the kernel after a large block, because it would grow from block to block.

    For small blocks that costs more than it saves. Without a block: after a whole pass, so that passes do not add up; with the
    pass's device, freed pinned memory as well, which other processes could not use.
    """
    if device is not None and device.type == "cuda":
        torch.accelerator.empty_host_cache()
    size = _LARGE if block is None else sum(parameter.nbytes for parameter in block.parameters())
    if size >= _LARGE and hasattr(_C, "malloc_trim"):
        _C.malloc_trim(0)


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached_files(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("active_file ", "inactive_file ")))


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
