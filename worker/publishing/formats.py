"""Formats of the pruned weights that a job requests, and their size in each.

Shards are converted one after the other: if dense files are not requested, each shard is deleted before the next, to save disk.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from zstandard import ZstdCompressor

from service.contract.formats import WeightSizes
from service.contract.spec import JobSpec
from service.packing import MASK_SUFFIX, PACKED_SUFFIX, Origin, make_mask, pack, packed_bytes
from worker.engine.checkpoint.reader import Checkpoint
from worker.inputs.models import Model
from worker.store_transfer import Tick

_PIECE: Final = 1 << 24
"""Bytes compressed at once."""
_PIECES: Final = 256
"""Maximum number of pieces compressed, to measure sizes; beyond 4 GiB the time would be noticeable, and the ratio is the same."""


def write_formats(folder: Path, *, spec: JobSpec, model: Model, tick: Tick) -> WeightSizes:
    """Convert the folder of the dense checkpoint into one with exactly the requested formats.

    Raises:
        service.packing.KeptWeightChanged: a mask is requested, but the engine changed a weight that it kept.
    """
    wanted, shards = spec.output.formats, [folder / name for name in Checkpoint(folder).shards]
    dense = sum(path.stat().st_size for path in shards)
    every = -(-dense // (_PIECE * _PIECES)) or 1
    compressed, measured = _zstd(shards, every, tick)
    packed = masks = 0
    for shard in shards:
        packed += _pack(shard, tick) if "packed" in wanted else packed_bytes(shard, _as_callback(tick), every=every)
        masks += _masked(shard, spec, model, tick) if "mask" in wanted else 0
        if "dense" not in wanted:
            shard.unlink()
    return WeightSizes(
        dense=dense,
        packed=packed,
        mask=masks if "mask" in wanted else None,
        zstd=round(compressed * dense / measured) if measured else 0,
        zstd_share_measured=measured / dense if dense else 1.0,
    )


def _pack(shard: Path, tick: Tick) -> int:
    target = shard.with_suffix(PACKED_SUFFIX)
    pack(shard, target, _as_callback(tick))
    return target.stat().st_size


def _masked(shard: Path, spec: JobSpec, model: Model, tick: Tick) -> int:
    target = shard.with_suffix(MASK_SUFFIX)
    make_mask(shard, model.path / shard.name, target, origin=_origin(spec, model), on_progress=_as_callback(tick))
    return target.stat().st_size


def _origin(spec: JobSpec, model: Model) -> Origin:
    """Return the identity of the base, without the fingerprint of a local folder, which means nothing on another host."""
    revision = None if spec.model.source == "local" else model.revision
    return Origin(source=spec.model.source, id=spec.model.id, revision=revision)


def _zstd(shards: Sequence[Path], every: int, tick: Tick) -> tuple[int, int]:
    """Return the compressed bytes of each `every`-th piece, and their bytes before compression."""
    codec = ZstdCompressor(level=1)
    compressed = measured = 0
    for shard in shards:
        with shard.open("rb") as file:
            for start in range(0, os.fstat(file.fileno()).st_size, _PIECE * every):
                file.seek(start)
                piece = file.read(_PIECE)
                tick()
                compressed += len(codec.compress(piece))
                measured += len(piece)
    return compressed, measured


def _as_callback(tick: Tick) -> Callable[[int], None]:
    return lambda _bytes: tick()
