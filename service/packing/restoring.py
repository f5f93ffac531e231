"""Restoring of safetensors files from packed files and masks, byte for byte; a SHA-256 of every tensor is checked."""

import hashlib
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

from service.kit.files import is_intact
from service.kit.safetensors_headers import WIDTHS
from service.packing import bitmask
from service.packing.bitmask import Buffer
from service.packing.container import Container, Progress, appearing, opened
from service.packing.errors import Altered, NothingToDo, WrongBase
from service.packing.header import Entry, FileFacts, Masked, Plain, Planes, Section, Sparse, Unchanged
from service.packing.packing import quiet
from service.packing.planes import InvalidChunk, Layout
from service.packing.shards import CHUNK, Shard, StoredTensor

Contents = Callable[[Container, Entry], Iterator[Buffer]]
"""Decoder of a tensor that yields its bytes in chunks."""


class BaseFolder:
    """Tensors of a base model, indexed by name across the folder's safetensors files."""

    def __init__(self, folder: Path) -> None:
        """Index the folder. Raises NothingToDo: it has no weights. Altered: a file is not a valid safetensors file."""
        self._tensors = {
            tensor.name: tensor for path in sorted(folder.glob("*.safetensors")) for tensor in Shard.open(path).tensors
        }
        if not self._tensors:
            raise NothingToDo(folder, "has no safetensors files; name the folder of the base model")

    def masked(self, container: Container, entry: Entry) -> Iterator[Buffer]:
        """Yield the base's tensor with the mask applied. Raises WrongBase: the mask was made from another tensor."""
        assert isinstance(entry, Masked | Unchanged)
        place, digest = self._find(container, entry), hashlib.sha256()
        bits = _checked_bits(container, entry) if isinstance(entry, Masked) else None
        with place.path.open("rb") as file:
            for number, chunk in enumerate(place.chunks(file)):
                digest.update(chunk)
                yield chunk if bits is None else _select(bits, number, bitmask.elements(chunk, WIDTHS[entry.dtype]))
        if digest.hexdigest() != (entry.sha256 if bits is None else entry.base_sha256):  # type: ignore[union-attr]
            raise _wrong_base(container, f"the values of {entry.name} differ")

    def _find(self, container: Container, entry: Entry) -> StoredTensor:
        place = self._tensors.get(entry.name)
        if place is None or (place.dtype, list(place.shape)) != (entry.dtype, entry.shape):
            raise _wrong_base(container, f"it has no {entry.name} of this dtype and shape")
        return place


def restore(path: Path, folder: Path, contents: Contents, on_progress: Progress = quiet) -> FileFacts:
    """Write the safetensors file of a container into the folder, atomically, unless it is there with the right checksum.

    Raises:
        NotAContainer, NewerVersion, Truncated, Altered, WrongBase
    """
    with opened(path) as container:
        facts = container.header.file
        target = folder / facts.name
        if is_intact(target, size=facts.bytes, sha256=facts.sha256):
            on_progress(facts.bytes)
            return facts
        with appearing(target) as output:
            output.write(container.head)
            read(container, contents, output.write, on_progress)
    return facts


def read(
    container: Container,
    contents: Contents,
    write: Callable[[Buffer], object],
    on_progress: Progress = quiet,
    *,
    is_thorough: bool = False,
) -> None:
    """Decode all tensors and pass them to `write` in chunks.

    Args:
        is_thorough: check the SHA-256 of restored tensors even if that of their stored chunks is checked, which takes less time.

    Raises:
        Altered: a checksum does not match.
        WrongBase
    """
    for entry in container.header.tensors:
        digest, is_hashed = hashlib.sha256(), is_thorough or not isinstance(entry, Planes)
        for chunk in contents(container, entry):
            if is_hashed:
                digest.update(chunk)
            write(chunk)
            on_progress(len(chunk))
        if is_hashed and digest.hexdigest() != entry.sha256:
            raise _wrong_sha256(container, entry)


def unpacked(container: Container, entry: Entry) -> Iterator[Buffer]:
    """Yield a tensor of a packed file. Raises Altered: its chunks are invalid, or its bitmask does not match the values."""
    if isinstance(entry, Plain):
        yield from _pieces(container, entry.data)
    elif isinstance(entry, Planes):
        yield from _chunks(container, entry)
    else:
        yield from _of_version_1(container, entry)


def _chunks(container: Container, entry: Planes) -> Iterator[Buffer]:
    """Yield the chunks of a tensor stored in planes."""
    elements, values, (place, end), digest = prod(entry.shape), 0, entry.data, hashlib.sha256()

    def following(size: int) -> bytes:
        nonlocal place
        if size > end - place:
            raise InvalidChunk
        place += size
        content = container.read((place - size, place))
        digest.update(content)
        return content

    try:
        for first in range(0, elements, CHUNK):
            layout = Layout(min(CHUNK, elements - first), WIDTHS[entry.dtype], is_masked=entry.is_masked)
            sizes = layout.stored_sizes(following(layout.head_bytes))
            chunk, count = layout.decode(sizes, following(sum(sizes)))
            values += count
            yield bitmask.as_bytes(chunk)
        if place != end or values != entry.values:
            raise InvalidChunk
    except InvalidChunk:
        raise Altered(container.path, f"the chunks of {entry.name} are invalid") from None
    if digest.hexdigest() != entry.data_sha256:
        raise _wrong_sha256(container, entry)


def _pieces(container: Container, section: Section) -> Iterator[Buffer]:
    start, end = section
    for first in range(start, end, CHUNK):
        yield container.read((first, min(first + CHUNK, end)))


def _of_version_1(container: Container, entry: Entry) -> Iterator[Buffer]:
    assert isinstance(entry, Sparse)
    width, elements, (bits, _), (start, end) = WIDTHS[entry.dtype], prod(entry.shape), entry.bits, entry.values
    for first in range(0, elements, CHUNK):
        count = min(CHUNK, elements - first)
        positions = bitmask.positions(container.read((bits + first // 8, bits + bitmask.size(first + count))), count)
        after = start + positions.size * width
        if after > end:
            raise Altered(container.path, f"the bitmask of {entry.name} has more bits set than there are values")
        yield bitmask.as_bytes(bitmask.join(positions, bitmask.elements(container.read((start, after)), width), count))
        start = after
    if start != end:
        raise Altered(container.path, f"{entry.name} has more values than its bitmask has bits set")


def check_masks(container: Container, on_progress: Progress = quiet) -> None:
    """Check the parts of a mask that can be checked without its base. Raises Altered."""
    for entry in container.header.tensors:
        if isinstance(entry, Masked):
            on_progress(len(_checked_bits(container, entry)))


def _checked_bits(container: Container, entry: Masked) -> bytes:
    bits = container.read(entry.bits)
    if hashlib.sha256(bits).hexdigest() != entry.bits_sha256:
        raise Altered(container.path, f"the SHA-256 of the bitmask of {entry.name} does not match")
    return bits


def _select(bits: bytes, number: int, chunk: bitmask.Elements) -> memoryview:
    """Apply the mask to the base's chunk with this index."""
    first = number * CHUNK // 8
    kept = bitmask.unpack_bits(bits[first : first + bitmask.size(chunk.size)], chunk.size)
    return bitmask.as_bytes(bitmask.select(kept, chunk))


def _wrong_sha256(container: Container, entry: Entry) -> Altered:
    return Altered(container.path, f"the SHA-256 of {entry.name} does not match")


def _wrong_base(container: Container, what: str) -> WrongBase:
    return WrongBase(container.path, str(container.header.base), what)
