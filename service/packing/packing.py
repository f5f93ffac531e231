"""Packing of a safetensors file, streamed: only one chunk and one tensor's bitmask are in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from service.packing import bitmask
from service.packing.container import ALIGNMENT, Progress, Writer, appearing
from service.packing.header import FileFacts, Header, Plain, Sparse
from service.packing.shards import Shard, StoredTensor


def quiet(_bytes: int) -> None:
    """Ignore the progress."""


def pack(source: Path, target: Path, on_progress: Progress = quiet) -> None:
    """Write the packed file of a safetensors file, lossless to the byte. Raises Altered: the source is not a safetensors file."""
    shard = Shard.open(source)
    whole = hashlib.sha256(shard.head)
    with appearing(target) as output, source.open("rb") as file:
        writer = Writer(output)
        head = writer.head(shard.head)
        tensors = tuple(_pack(writer, file, tensor, whole.update, on_progress) for tensor in shard.tensors)
        facts = FileFacts(name=source.name, bytes=shard.size, sha256=whole.hexdigest())
        writer.finish(Header(kind="packed", file=facts, head=head, tensors=tensors))


def packed_bytes(source: Path, on_progress: Progress = quiet) -> int:
    """Return the bytes that `pack` would write, without header and padding. Raises Altered."""
    shard = Shard.open(source)
    with source.open("rb") as file:
        return ALIGNMENT + len(shard.head) + sum(_least(file, tensor, on_progress) for tensor in shard.tensors)


def watched(chunks: Iterable[bytes], *watchers: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield the chunks, and pass each to the watchers first."""
    for chunk in chunks:
        for watch in watchers:
            watch(chunk)
        yield chunk


def _pack(
    writer: Writer, file: BinaryIO, tensor: StoredTensor, whole: Callable[[bytes], None], on_progress: Progress
) -> Plain | Sparse:
    digest = hashlib.sha256()
    is_plain = _least(file, tensor, on_progress) == tensor.size
    content = watched(tensor.chunks(file), digest.update, whole, lambda chunk: on_progress(len(chunk)))
    if is_plain:
        data = writer.section(content)
        return Plain(**tensor.described, data=data, sha256=digest.hexdigest())
    bits = bytearray()
    values = writer.section(_values(content, tensor.width or 1, bits))
    return Sparse(**tensor.described, values=values, bits=writer.section([bits]), sha256=digest.hexdigest())


def _values(content: Iterable[bytes], width: int, bits: bytearray) -> Iterator[bytes]:
    """Yield the non-zero values of each chunk and append its bitmask to `bits`."""
    for chunk in content:
        more, values = bitmask.split(bitmask.elements(chunk, width))
        bits += more
        yield values


def _least(file: BinaryIO, tensor: StoredTensor, on_progress: Progress) -> int:
    """Return the bytes of the tensor, packed or plain, whichever is smaller."""
    if tensor.width is None:
        return tensor.size
    kept = 0
    for chunk in watched(tensor.chunks(file), lambda _: on_progress(0)):
        kept += bitmask.count(bitmask.elements(chunk, tensor.width))
    return min(tensor.size, kept * tensor.width + bitmask.size(tensor.elements))
