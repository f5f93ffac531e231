"""Packing of a safetensors file, streamed: only one chunk is in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from service.packing import bitmask
from service.packing.container import ALIGNMENT, Progress, Writer, appearing
from service.packing.header import FileFacts, Header, Plain, Planes
from service.packing.planes import Layout, is_worth_masking
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


def packed_bytes(source: Path, on_progress: Progress = quiet, *, every: int = 1) -> int:
    """Return the bytes that `pack` would write, without header and padding, measured on each `every`-th chunk. Raises Altered."""
    shard = Shard.open(source)
    with source.open("rb") as file:
        return ALIGNMENT + len(shard.head) + sum(_packed_bytes(file, tensor, on_progress, every) for tensor in shard.tensors)


def watched(chunks: Iterable[bytes], *watchers: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield the chunks, and pass each to the watchers first."""
    for chunk in chunks:
        for watch in watchers:
            watch(chunk)
        yield chunk


def _pack(
    writer: Writer, file: BinaryIO, tensor: StoredTensor, whole: Callable[[bytes], None], on_progress: Progress
) -> Plain | Planes:
    digest, stored, width = hashlib.sha256(), hashlib.sha256(), tensor.width
    values = tensor.elements if width is None else _values(file, tensor, width, on_progress)
    content = watched(tensor.chunks(file), digest.update, whole, lambda chunk: on_progress(len(chunk)))
    if width is None:
        return Plain(**tensor.described, data=writer.section(content), sha256=digest.hexdigest())
    encoded = (_encoded(chunk, width, is_masked=values < tensor.elements) for chunk in content)
    data = writer.section(watched(encoded, stored.update))
    return Planes(**tensor.described, data=data, data_sha256=stored.hexdigest(), values=values, sha256=digest.hexdigest())


def _values(file: BinaryIO, tensor: StoredTensor, width: int, on_progress: Progress) -> int:
    """Return the number of elements to store: the non-zero ones, or all if a mask would not pay."""
    chunks = watched(tensor.chunks(file), lambda _: on_progress(0))
    kept = sum(bitmask.count(bitmask.elements(chunk, width)) for chunk in chunks)
    return kept if is_worth_masking(tensor.elements, tensor.elements - kept, width) else tensor.elements


def _encoded(chunk: bytes, width: int, *, is_masked: bool) -> bytes:
    return Layout(len(chunk) // width, width, is_masked=is_masked).encode(bitmask.elements(chunk, width))


def _packed_bytes(file: BinaryIO, tensor: StoredTensor, on_progress: Progress, every: int) -> int:
    """Return the bytes of the tensor packed, extrapolated from each `every`-th chunk."""
    width, before, after = tensor.width, 0, 0
    if width is None:
        return tensor.size
    for chunk in watched(tensor.chunks(file, every), lambda _: on_progress(0)):
        count, kept = len(chunk) // width, bitmask.count(bitmask.elements(chunk, width))
        after += len(_encoded(chunk, width, is_masked=is_worth_masking(count, count - kept, width)))
        before += len(chunk)
    return round(after * tensor.size / before) if before else 0
