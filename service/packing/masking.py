"""Creation of a mask from a base model's shard and its pruned version."""

import hashlib
from pathlib import Path
from typing import BinaryIO

from service.packing import bitmask
from service.packing.container import Progress, Writer, appearing
from service.packing.errors import Altered, KeptWeightChanged
from service.packing.header import Base, FileFacts, Header, Masked, Origin, Unchanged
from service.packing.packing import quiet, watched
from service.packing.shards import Shard, StoredTensor


def make_mask(source: Path, base: Path, target: Path, *, origin: Origin, on_progress: Progress = quiet) -> None:
    """Write the mask that turns `base`, a shard of the model `origin`, into `source`.

    Raises:
        KeptWeightChanged: weights were not only set to zero but changed.
        Altered: the files do not have the same tensors, or are not safetensors files.
    """
    shard, before = Shard.open(source), Shard.open(base)
    if shard.head != before.head:
        raise Altered(source, "its head differs from that of the base model's shard")
    with appearing(target) as output, source.open("rb") as file, base.open("rb") as base_file:
        making = _Making(Writer(output), file, base_file, shard, on_progress)
        making.finish(origin, source.name, base.name)


class _Making:
    """Writer of a mask, with running SHA-256 of both files."""

    def __init__(self, writer: Writer, file: BinaryIO, base: BinaryIO, shard: Shard, on_progress: Progress) -> None:
        self._writer, self._file, self._base, self._shard, self._told = writer, file, base, shard, on_progress
        self._whole, self._base_whole = hashlib.sha256(shard.head), hashlib.sha256(shard.head)

    def finish(self, origin: Origin, name: str, base_name: str) -> None:
        """Write all tensors and the header."""
        head, size = self._writer.head(self._shard.head), self._shard.size
        tensors = tuple(self._tensor(tensor) for tensor in self._shard.tensors)
        facts = FileFacts(name=name, bytes=size, sha256=self._whole.hexdigest())
        base_facts = FileFacts(name=base_name, bytes=size, sha256=self._base_whole.hexdigest())
        base = Base(**origin.model_dump(), shard=base_facts)
        self._writer.finish(Header(kind="mask", file=facts, head=head, base=base, tensors=tensors))

    def _tensor(self, tensor: StoredTensor) -> Masked | Unchanged:
        digest, base_digest, bits, is_masked = hashlib.sha256(), hashlib.sha256(), bytearray(), False
        after = watched(tensor.chunks(self._file), digest.update, self._whole.update, lambda chunk: self._told(len(chunk)))
        before = watched(tensor.chunks(self._base), base_digest.update, self._base_whole.update)
        for new, old in zip(after, before, strict=True):
            is_masked |= new != old
            bits += _bits(tensor, new, old)
        if not is_masked:
            return Unchanged(**tensor.described, sha256=digest.hexdigest())
        return Masked(
            **tensor.described,
            bits=self._writer.section([bits]),
            bits_sha256=hashlib.sha256(bits).hexdigest(),
            base_sha256=base_digest.hexdigest(),
            sha256=digest.hexdigest(),
        )


def _bits(tensor: StoredTensor, new: bytes, old: bytes) -> bytes:
    """Return the bitmask that turns the old chunk into the new one. Raises KeptWeightChanged: there is none."""
    if tensor.width is None:
        if new != old:
            raise KeptWeightChanged(tensor.path, tensor.name)
        return b""
    chunk, base = bitmask.elements(new, tensor.width), bitmask.elements(old, tensor.width)
    kept = chunk != 0
    if not bitmask.equal(bitmask.select(kept, base), chunk):
        raise KeptWeightChanged(tensor.path, tensor.name)
    return bitmask.pack_bits(kept)
