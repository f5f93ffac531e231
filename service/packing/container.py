"""Container format: a prelude of 64 bytes, sections, and a JSON header at the end. See docs/reference/packed-format.md.

The header comes last because it describes what was written, so that no tensor has to be held in memory. The prelude is written
after everything else, so that an unfinished file is not a valid container.
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
VERSIONS: Final = {"packed": 2, "mask": 1}
"""Format version of each kind that is written; readers read all up to the highest."""
ALIGNMENT: Final = 64
PACKED_SUFFIX: Final = ".packed"
MASK_SUFFIX: Final = ".mask"
_PRELUDE: Final = struct.Struct("<8sIIQQ32s")  # magic, version, 0, header's start, header's bytes, its SHA-256
assert _PRELUDE.size == ALIGNMENT

Progress = Callable[[int], None]
"""Progress callback, called with the number of bytes processed. An exception that it raises aborts the operation."""


class Writer:
    """Sequential writer of a container: sections first, then the header."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(bytes(ALIGNMENT))

    def head(self, content: bytes) -> Head:
        """Write the head of the safetensors file, unchanged."""
        return Head(section=self.section([content]), sha256=hashlib.sha256(content).hexdigest())

    def section(self, content: Iterable[bytes | bytearray]) -> Section:
        """Write a section from pieces of bytes, and pad it to the alignment."""
        start = self._file.tell()  # style: allow
        for piece in content:
            self._file.write(piece)
        end = self._file.tell()  # style: allow
        self._file.write(bytes(-end % ALIGNMENT))
        return start, end

    def finish(self, header: Header) -> None:
        """Write the header, then the prelude, which makes the file valid."""
        content = header.model_dump_json().encode()
        start = self._file.tell()  # style: allow
        self._file.write(content)
        self._file.seek(0)
        self._file.write(_PRELUDE.pack(MAGIC, VERSIONS[header.kind], 0, start, len(content), hashlib.sha256(content).digest()))


class Container:
    """Reader of a container with a validated header and tensor table."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read and validate the header. Raises NotAContainer, NewerVersion, Truncated, Altered."""
        self.path, self._file = path, file
        self.header, self._sections_end = self._read_header()
        self.head = self.read(self.header.head.section)
        if hashlib.sha256(self.head).hexdigest() != self.header.head.sha256:
            raise Altered(path, "the SHA-256 of the safetensors file's head does not match")
        self._check_tensors(read_head(path, self.head))

    def read(self, section: Section) -> bytes:
        """Read a section. Raises Altered: it is outside the file; Truncated."""
        start, end = section
        if not ALIGNMENT <= start <= end <= self._sections_end:
            raise Altered(self.path, "a section is outside the file")
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
        if version > (known := max(VERSIONS.values())):
            raise NewerVersion(self.path, version, known)
        size = self.path.stat().st_size
        if start + length > size:
            raise Truncated(self.path)
        if not version or start + length < size or start < ALIGNMENT or length > MAX_HEADER_BYTES:
            raise Altered(self.path, "its prelude does not match the file")
        self._file.seek(start)
        content = self._file.read(length)
        if hashlib.sha256(content).digest() != digest:
            raise Altered(self.path, "the SHA-256 of its header does not match")
        try:
            return Header.model_validate_json(content), start
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise Altered(self.path, f"its header is invalid at {where}") from None

    def _check_tensors(self, described: tuple[StoredTensor, ...]) -> None:
        """Check the tensor table against the head of the safetensors file. Raises Altered."""
        entries, is_mask = self.header.tensors, self.header.kind == "mask"
        if is_mask != (self.header.base is not None):
            raise Altered(self.path, "a mask must name its base, and a packed file must not")
        if [(entry.name, entry.dtype, tuple(entry.shape)) for entry in entries] != [
            (t.name, t.dtype, t.shape) for t in described
        ]:
            raise Altered(self.path, "its tensor table does not match the head of the safetensors file")
        if self.header.file.bytes != (described[-1].end if described else len(self.head)):
            raise Altered(self.path, "the size of the safetensors file does not match its head")
        for entry, tensor in zip(entries, described, strict=True):
            if isinstance(entry, Masked | Unchanged) != is_mask or not fits(entry, tensor.end - tensor.start):
                raise Altered(self.path, f"the encoding of {entry.name} is invalid")


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """Open a container for reading. Raises NotAContainer, NewerVersion, Truncated, Altered."""
    with path.open("rb") as file:
        yield Container(path, file)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """Write a file atomically: it gets its name once complete, and is removed on an exception."""
    part = path.with_name(f"{path.name}.dsnot-part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
