"""Where activations are kept between passes: host memory that is used again and again, and a file where that is too small.

Memory that a process has just got from the kernel costs as much time as a good part of the work that fills it. So what is
taken back is handed out again for the next tensor of its size. With a GPU the memory is pinned, which its copies need to
be fast. What does not fit into the room allowed lies in files without names, mapped into memory: the kernel then keeps
there what it can. Where a tensor lies changes no bit.
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

_C = ctypes.CDLL(None)
_LARGE = 1 << 27  # bytes of a block
_SLAB = 1 << 26  # bytes: more than what the allocator keeps to use again, and only resident where it is used
_ALIGNED = 64  # bytes
_SHARE = 0.5  # of the host's free memory
_Kind = tuple[tuple[int, ...], torch.dtype]


class Shelf:
    """Tensors on the host that live from one pass to a later one. Not for several threads."""

    def __init__(self, *, room: int | None = None, scratch: Path | None = None, pinned: bool = False) -> None:
        """`room`: bytes of memory, by default half of what is free; beyond them files in `scratch`, if it is given."""
        self.in_memory = 0  # bytes handed out or waiting
        self.in_files = 0
        self._room = int(free_memory() * _SHARE) if room is None else room
        self._scratch = scratch
        self._pinned = pinned
        self._waiting: dict[_Kind, list[Tensor]] = defaultdict(list)
        self._slab = torch.empty(0, dtype=torch.uint8)  # what is left of it

    def put(self, x: Tensor) -> Tensor:
        """A copy of a tensor, from whatever device. OSError if it has to go into a file and the disk is full."""
        waiting = self._waiting[tuple(x.shape), x.dtype]
        return (waiting.pop() if waiting else self._new(x)).copy_(x)

    def replace(self, kept: Tensor, x: Tensor) -> Tensor:
        """A copy of x, where `kept` was if it fits there."""
        if kept.shape == x.shape and kept.dtype == x.dtype:
            return kept.copy_(x)
        self.take_back([kept])
        return self.put(x)

    def take_back(self, kept: Iterable[Tensor]) -> None:
        """These are not needed any more; others will be written over them."""
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
        """Bytes of a slab. Alone they would lie among the temporaries of the passes, which could then not be given back."""
        taken = -(-size // _ALIGNED) * _ALIGNED
        if taken > len(self._slab):
            self._slab = torch.empty(max(taken, _SLAB), dtype=torch.uint8)
        piece, self._slab = self._slab[:size], self._slab[taken:]
        return piece


def free_memory() -> int:
    """Bytes that this process may still take: what the host has free, or the control group around it if that is less."""
    free = psutil.virtual_memory().available
    limit, used = (_read(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def give_back_memory(block: nn.Module | None = None) -> None:
    """Return to the kernel what the allocator keeps of temporaries: of a large block, where it would grow from block to block.

    With small blocks that costs more than it saves. Without a block: of a whole pass, so that the next one does not come on top.
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
    """Bytes in a file that nobody else can open, and that is gone with the tensor. Its blocks are taken at once."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".activations")
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
        return torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
    finally:
        os.close(descriptor)
        Path(name).unlink()
