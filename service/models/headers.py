"""Reading of a checkpoint's config and safetensors headers, local or remote; weights are never read."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from service.contract import bounded_json
from service.contract.checkpoint_files import reason_against_adapter
from service.contract.checkpoints import (
    FLOATS,
    MAX_COPIES,
    MAX_HEADER_BYTES,
    MAX_INDEX_BYTES,
    MAX_SHARDS,
    MAX_TENSORS,
    reason_against_code,
    reason_against_config,
    reason_against_name,
    reason_against_quantised,
)
from service.kit.safetensors_headers import BITS, LENGTH_BYTES, InvalidHeader, TensorEntry, header_length, parse_header
from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.config import MAX_CONFIG_BYTES, UnreadableConfig, parse_config
from service.models.refusals import ModelUnsafe, ModelUnsupported

CONFIG: Final = "config.json"
_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"
_NUMBERED: Final = "model-00001-of-00001.safetensors"
_FIRST: Final = 64 << 10
"""Bytes of a shard's first read: most headers fit."""
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class _Place:
    """Tensor in a shard, from byte `start` on."""

    shard: str
    name: str
    entry: TensorEntry
    start: int

    @property
    def size(self) -> int:
        return self.entry.end - self.entry.start


class Files(Protocol):
    """The files of a checkpoint, from which ranges can be read."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """File name → size in bytes."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file, or fewer if it ends before."""


def read_config(files: Files) -> dict[str, Any]:
    """Return the config of a checkpoint that needs no custom code.

    Raises:
        ModelUnsafe: the config is missing, invalid or needs custom code, or there are no safetensors files.
        ModelUnsupported: the config describes no causal language model.
    """
    if reason := reason_against_adapter(files.sizes):
        raise ModelUnsafe(reason)
    if CONFIG not in files.sizes:
        raise ModelUnsafe("the model has no config.json")
    try:
        config = parse_config(files.read(CONFIG, 0, MAX_CONFIG_BYTES + 1))
    except UnreadableConfig as error:
        raise ModelUnsafe(str(error)) from None
    if reason := reason_against_code(config):
        raise ModelUnsafe(reason)
    if reason := reason_against_config(config) or reason_against_quantised(config, files.sizes, ()):
        raise ModelUnsupported(reason)
    if not any(name.endswith((".safetensors", _INDEX)) for name in files.sizes):
        raise ModelUnsafe("the model has no safetensors files; other formats are not supported")
    return config


def read_headers(files: Files, revision: str | None) -> CheckpointHeaders:
    """Return the config and the tensor headers of all shards.

    Raises:
        ModelUnsafe: as `read_config`; an index or a header is invalid.
    """
    config = read_config(files)
    shards = _shards(files, config)
    places = _places(files, shards)
    tensors = {name: TensorHeader(place.entry.dtype, place.entry.shape) for name, place in places.items()}
    if reason := reason_against_quantised(config, (), ((name, each.dtype, each.shape) for name, each in tensors.items())):
        raise ModelUnsupported(reason)
    first = min(shards)
    named = sorted((name, place.entry.dtype) for name, place in places.items() if place.shard == first)
    dtype = next((dtype for _, dtype in named if dtype in FLOATS), None)
    return CheckpointHeaders(config, tensors, {shard: files.sizes[shard] for shard in shards}, revision, dtype)


def _places(files: Files, shards: list[str]) -> dict[str, _Place]:
    """Return the tensors of all shards by name; of equal copies the first."""
    places: dict[str, _Place] = {}
    copies = 0
    for shard, content in _contents(files, shards):
        for place in _parsed(shard, content):
            first = places.setdefault(place.name, place)
            if first is place:
                continue
            copies += 1
            if copies > MAX_COPIES:
                raise ModelUnsafe(f"more than {MAX_COPIES} tensors are in several shards; remove the copies")
            if not _are_equal(files, first, place):
                detail = f"the tensor {place.name} is in {first.shard} and differs in {place.shard}; remove one of the two"
                raise ModelUnsafe(detail)
        if len(places) > MAX_TENSORS:
            raise ModelUnsafe(f"the model has more than {MAX_TENSORS:,} tensors")
    return places


def _contents(files: Files, shards: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and header of each shard. The sizes of all headers are known before any is read whole."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="headers") as pool:
        heads = list(pool.map(lambda shard: files.read(shard, 0, _FIRST), shards))
        ends = [_end(shard, head, files.sizes[shard]) for shard, head in zip(shards, heads, strict=True)]
        if sum(ends) > MAX_HEADER_BYTES:
            raise ModelUnsafe(f"the headers of its safetensors files are larger than {MAX_HEADER_BYTES >> 20} MiB together")

        def whole(shard: str, head: bytes, end: int) -> bytes:
            return head[:end] if len(head) >= end else head + files.read(shard, len(head), end)

        yield from zip(shards, pool.map(whole, shards, heads, ends), strict=True)


def _are_equal(files: Files, one: _Place, other: _Place) -> bool:
    """Compare data type, shape and first bytes of two copies of a tensor; the worker compares all bytes."""
    if (one.entry.dtype, one.entry.shape) != (other.entry.dtype, other.entry.shape):
        return False
    heads = [files.read(place.shard, place.start, place.start + min(place.size, _FIRST)) for place in (one, other)]
    return heads[0] == heads[1]


def _shards(files: Files, config: dict[str, Any]) -> list[str]:
    """Return the files that transformers loads."""
    named = config.get("transformers_weights")
    if named is not None:
        if not isinstance(named, str) or not named.endswith((".safetensors", ".safetensors.index.json")) or "/" in named:
            raise ModelUnsafe(f"config.json has transformers_weights that are no safetensors of its folder: {_short(named)}")
        if named not in files.sizes:
            raise ModelUnsafe(f"the model has no {named[:100]}")
        return _shards_of(files, named) if named.endswith(".json") else [named]
    if _INDEX in files.sizes:
        shards = _shards_of(files, _INDEX)
        if shards != [_SINGLE] and _SINGLE in files.sizes:
            raise ModelUnsafe(
                f"the model has {_SINGLE} and other weights by {_INDEX}; transformers loads the first: remove one of the two"
            )
        return shards
    for name in (_SINGLE, _NUMBERED):
        if name in files.sizes:
            return [name]
    raise ModelUnsafe(f"the model has neither {_SINGLE} nor {_INDEX}")


def _shards_of(files: Files, index: str) -> list[str]:
    weight_map = _json_object(files.read(index, 0, MAX_INDEX_BYTES), index).get("weight_map")
    shards = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not shards:
        raise ModelUnsafe(f"{index} has no weight_map")
    for shard in shards:
        if not isinstance(shard, str) or not shard.endswith(".safetensors"):
            raise ModelUnsafe(f"{index} names a file that is not a safetensors file: {_short(shard)}")
        if "/" in shard:
            detail = f"{index} names {_short(shard)} in a subfolder; move the shards to config.json and correct the index"
            raise ModelUnsafe(detail)
        if reason := reason_against_name(shard):
            raise ModelUnsafe(reason)
        if shard not in files.sizes:
            raise ModelUnsafe(f"the model has no {shard[:100]}, which {index} names")
    distinct = list(dict.fromkeys(shards))
    if len(distinct) > MAX_SHARDS:
        raise ModelUnsafe(f"{index} names more than {MAX_SHARDS} files; save the model with larger shards")
    return distinct


def _short(value: Any) -> str:
    return repr(value)[:100]


def _end(shard: str, head: bytes, file_bytes: int) -> int:
    """Return the position at which the header ends."""
    try:
        return LENGTH_BYTES + header_length(head, file_bytes)
    except InvalidHeader as error:
        raise ModelUnsafe(f"{shard} is not a safetensors file: {error}") from None


def _parsed(shard: str, content: bytes) -> list[_Place]:
    try:
        entries = parse_header(content[LENGTH_BYTES:])
    except InvalidHeader as error:
        raise ModelUnsafe(f"{shard} is not a safetensors file: {error}") from None
    if unknown := next((name for name, entry in entries.items() if entry.dtype not in BITS), None):
        raise ModelUnsafe(f"{shard} has the unknown data type {entries[unknown].dtype[:20]!r} for the tensor {unknown}")
    return [_Place(shard, name, entry, len(content) + entry.start) for name, entry in entries.items()]


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = bounded_json.loads(content)
    except bounded_json.InvalidJson as error:
        raise ModelUnsafe(f"{name} {error}") from None
    if not isinstance(value, dict):
        raise ModelUnsafe(f"{name} is not a JSON object")
    return value
