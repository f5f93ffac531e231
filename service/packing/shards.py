"""Positions of tensors in a safetensors file, read from its head alone: the length field and the JSON header."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.kit.safetensors_headers import LENGTH_BYTES, WIDTHS, InvalidHeader, header_length, parse_header
from service.packing.errors import Altered

CHUNK: Final = 1 << 18
"""Elements per chunk, so that they and their indices fit into the CPU cache; fixed by the format of packed files."""


@dataclass(frozen=True)
class StoredTensor:
    """Tensor at bytes `start` to `end` of a file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def width(self) -> int | None:
        """Bytes per element; None for an unknown dtype or elements smaller than a byte."""
        return WIDTHS.get(self.dtype)

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.end - self.start

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def described(self) -> dict[str, Any]:
        """Fields for a container's header."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    def chunks(self, file: BinaryIO, every: int = 1) -> Iterator[bytes]:
        """Yield its bytes in chunks of `CHUNK` elements, the last one smaller; or only each `every`-th of them.

        Raises:
            Altered: the file is truncated.
        """
        step = CHUNK * (self.width or 1)
        for start in range(self.start, self.end, step * every):
            file.seek(start)
            length = min(step, self.end - start)
            piece = file.read(length)
            if len(piece) < length:
                raise Altered(self.path, f"it ends before {self.name} does")
            yield piece


@dataclass(frozen=True)
class Shard:
    """Safetensors file: its raw head, and its tensors in file order."""

    path: Path
    head: bytes
    tensors: tuple[StoredTensor, ...]

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.tensors[-1].end if self.tensors else len(self.head)

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Read the head of a file. Raises Altered: it is not a valid safetensors file."""
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(LENGTH_BYTES)
            try:
                head = first + file.read(header_length(first, size))
            except InvalidHeader as error:
                raise Altered(path, str(error)) from None
        shard = cls(path, head, read_head(path, head))
        if shard.size != size:
            raise Altered(path, "its size does not match its head")
        return shard


def read_head(path: Path, head: bytes) -> tuple[StoredTensor, ...]:
    """Parse a head (including the length field) into the tensors of the file `path`, in file order. Raises Altered."""
    try:
        entries = parse_header(head[LENGTH_BYTES:])
    except InvalidHeader as error:
        raise Altered(path, str(error)) from None
    end, tensors = len(head), list[StoredTensor]()
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if len(head) + entry.start != end:
            raise Altered(path, f"{name} does not begin where the tensor before it ends")
        tensors.append(StoredTensor(path, name, entry.dtype, entry.shape, end, end := len(head) + entry.end))
    return tuple(tensors)
