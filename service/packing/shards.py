"""Where the tensors of a safetensors file lie. Only the head is read, and nothing of it is believed unchecked.

The head is 8 bytes of length (little endian) and a JSON object of that length; the tensors follow without gaps.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.packing.errors import Altered

WIDTHS: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Bytes of an element. What is not here has elements of its own kind, and is handled as bytes only."""
HEAD_LIMIT: Final = 100_000_000
"""Bytes; that of the format's own reader."""
CHUNK: Final = 1 << 18
"""Elements that are read at once, so that they and their indices fit into a processor's cache. A multiple of 8."""


@dataclass(frozen=True)
class StoredTensor:
    """Bytes `start` to `end` of the file are the tensor."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def width(self) -> int | None:
        """Bytes of an element; None where elements are not whole bytes that are known."""
        return WIDTHS.get(self.dtype)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def described(self) -> dict[str, Any]:
        """As a container's header has it."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """Its bytes in pieces of `CHUNK` elements, the last one smaller. Raises Altered: the file ends before."""
        step = CHUNK * (self.width or 1)
        file.seek(self.start)
        for start in range(self.start, self.end, step):
            length = min(step, self.end - start)
            piece = file.read(length)
            if len(piece) < length:
                raise Altered(self.path, f"it ends before {self.name} does")
            yield piece


@dataclass(frozen=True)
class Shard:
    """A safetensors file: its head as it is, and its tensors in the order in which they lie."""

    path: Path
    head: bytes
    tensors: tuple[StoredTensor, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.tensors[-1].end if self.tensors else len(self.head)

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Raises Altered: the file is no sound safetensors file."""
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, HEAD_LIMIT):
                raise Altered(path, "its head does not fit in it")
            file.seek(0)
            head = file.read(8 + length)
        shard = cls(path, head, read_head(path, head))
        if shard.size != size:
            raise Altered(path, "its size is not what its head describes")
        return shard


def read_head(path: Path, head: bytes) -> tuple[StoredTensor, ...]:
    """The tensors that a head (its length included) describes, as places in a file `path`. Raises Altered."""
    try:
        entries = json.loads(head[8:])
        entries.pop("__metadata__", None)
        tensors = [_tensor(path, name, entry, len(head)) for name, entry in entries.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Altered(path, "its head is not that of a safetensors file") from None
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    end = len(head)
    for tensor in tensors:
        if tensor.start != end:
            raise Altered(path, f"{tensor.name} does not begin where the tensor before it ends")
        end = tensor.end
    return tuple(tensors)


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> StoredTensor:
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not isinstance(dtype, str) or not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError(name)
    if end < start or (dtype in WIDTHS and end - start != prod(shape) * WIDTHS[dtype]):
        raise ValueError(name)
    return StoredTensor(path, name, dtype, shape, data_start + start, data_start + end)
