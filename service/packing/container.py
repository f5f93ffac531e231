"""The file itself: a prelude of 64 bytes, sections, and a JSON header at the end. docs/reference/packed-format.md specifies it.

The header comes last because it tells of what was written, so that a tensor is never held in memory; the prelude comes to be
when everything else is there, so that a file that a writer did not finish is no container.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import ValidationError

from service.kit.safetensors_headers import MAX_HEADER_BYTES
from service.packing.errors import Altered, NewerVersion, NotAContainer, Truncated
from service.packing.header import Head, Header, Masked, Section, Unchanged, fits
from service.packing.shards import StoredTensor, read_head

MAGIC: Final = b"DSNOTPAK"
VERSION: Final = 1
ALIGNMENT: Final = 64
PACKED_SUFFIX: Final = ".packed"
MASK_SUFFIX: Final = ".mask"
_PRELUDE: Final = struct.Struct("<8sIIQQ32s")  # magic, version, 0, header's start, header's bytes, its SHA-256
assert _PRELUDE.size == ALIGNMENT

Told = Callable[[int], None]
"""Told of bytes that were handled. What it raises stops the work."""


class Writer:
    """Sections one after the other, then the header."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(bytes(ALIGNMENT))

    def head(self, content: bytes) -> Head:
        """The head of the safetensors file, as it is."""
        return Head(section=self.section([content]), sha256=hashlib.sha256(content).hexdigest())

    def section(self, content: Iterable[bytes | bytearray]) -> Section:
        """Write a section; its bytes may come in pieces."""
        start = self._file.tell()
        for piece in content:
            self._file.write(piece)
        end = self._file.tell()
        self._file.write(bytes(-end % ALIGNMENT))
        return start, end

    def finish(self, header: Header) -> None:
        content = header.model_dump_json().encode()
        start = self._file.tell()
        self._file.write(content)
        self._file.seek(0)
        self._file.write(_PRELUDE.pack(MAGIC, VERSION, 0, start, len(content), hashlib.sha256(content).digest()))


class Container:
    """A file that is read. Its header is sound, its sections lie within it and have the sizes that they must have."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Raises NotAContainer, NewerVersion, Truncated, Altered."""
        self.path, self._file = path, file
        self.header, self._sections_end = self._read_header()
        self.head = self.read(self.header.head.section)
        if hashlib.sha256(self.head).hexdigest() != self.header.head.sha256:
            raise Altered(path, "the head of the safetensors file has another SHA-256")
        self._check_tensors(read_head(path, self.head))

    def read(self, section: Section) -> bytes:
        """Raises Altered: the section is not in the file."""
        start, end = section
        if not ALIGNMENT <= start <= end <= self._sections_end:
            raise Altered(self.path, "a section lies outside of it")
        self._file.seek(start)
        content = self._file.read(end - start)
        if len(content) < end - start:
            raise Truncated(self.path)
        return content

    def _read_header(self) -> tuple[Header, int]:
        prelude = self._file.read(ALIGNMENT)
        if len(prelude) < ALIGNMENT:
            raise Truncated(self.path) if MAGIC.startswith(prelude[: len(MAGIC)]) else NotAContainer(self.path)
        magic, version, _, start, length, digest = _PRELUDE.unpack(prelude)
        if magic != MAGIC:
            raise NotAContainer(self.path) if any(prelude) else Truncated(self.path)
        if version > VERSION:
            raise NewerVersion(self.path, version, VERSION)
        size = self.path.stat().st_size
        if start + length > size:
            raise Truncated(self.path)
        if not version or start + length < size or start < ALIGNMENT or length > MAX_HEADER_BYTES:
            raise Altered(self.path, "its prelude does not describe it")
        self._file.seek(start)
        content = self._file.read(length)
        if hashlib.sha256(content).digest() != digest:
            raise Altered(self.path, "its header has another SHA-256")
        try:
            return Header.model_validate_json(content), start
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise Altered(self.path, f"its header cannot be right at {where}") from None

    def _check_tensors(self, described: tuple[StoredTensor, ...]) -> None:
        """Hold the table against the head of the file that is to be restored."""
        entries, is_mask = self.header.tensors, self.header.kind == "mask"
        if is_mask != (self.header.base is not None):
            raise Altered(self.path, "a mask, and nothing else, names its base")
        if [(entry.name, entry.dtype, tuple(entry.shape)) for entry in entries] != [
            (t.name, t.dtype, t.shape) for t in described
        ]:
            raise Altered(self.path, "its table of tensors is not that of the safetensors file")
        if self.header.file.bytes != (described[-1].end if described else len(self.head)):
            raise Altered(self.path, "the safetensors file would have another size")
        for entry, tensor in zip(entries, described, strict=True):
            if isinstance(entry, Masked | Unchanged) != is_mask or not fits(entry, tensor.end - tensor.start):
                raise Altered(self.path, f"{entry.name} is stored in a way that cannot be right")


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """Raises NotAContainer, NewerVersion, Truncated, Altered."""
    with path.open("rb") as file:
        yield Container(path, file)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete, and is gone if something is raised."""
    part = path.with_name(f"{path.name}.dsnot-part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
