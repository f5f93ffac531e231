"""Reading of a checkpoint's config and safetensors headers, local or remote; weights are never read."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from service.kit.safetensors_headers import BITS, LENGTH_BYTES, InvalidHeader, header_length, parse_header
from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.config import MAX_CONFIG_BYTES, UnreadableConfig, needs_custom_code, parse_config
from service.models.refusals import ModelUnsafe

CONFIG: Final = "config.json"
_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"
_MAX_INDEX_BYTES: Final = 32 << 20
_MAX_HEADER_BYTES: Final = 32 << 20
_FIRST: Final = 64 << 10
"""Bytes of a shard's first read: most headers fit."""
_AT_ONCE: Final = 8


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
    """
    if CONFIG not in files.sizes:
        raise ModelUnsafe("the model has no config.json")
    try:
        config = parse_config(files.read(CONFIG, 0, MAX_CONFIG_BYTES + 1))
    except UnreadableConfig as error:
        raise ModelUnsafe(str(error)) from None
    if needs_custom_code(config):
        raise ModelUnsafe("config.json has an auto_map: the model needs custom code, which is never run")
    if not any(name.endswith(".safetensors") for name in files.sizes):
        raise ModelUnsafe("the model has no safetensors files; other formats are not supported")
    return config


def read_headers(files: Files, revision: str | None) -> CheckpointHeaders:
    """Return the config and the tensor headers of all shards.

    Raises:
        ModelUnsafe: as `read_config`; an index or a header is invalid.
    """
    config = read_config(files)
    shards = _shards(files)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="headers") as pool:
        headers = list(pool.map(lambda shard: _header(files, shard), shards))
    tensors: dict[str, TensorHeader] = {}
    for header in headers:
        tensors |= header
    if len(tensors) < sum(map(len, headers)):
        raise ModelUnsafe("a tensor is in more than one file of the checkpoint")
    return CheckpointHeaders(config, tensors, {shard: files.sizes[shard] for shard in shards}, revision)


def _shards(files: Files) -> list[str]:
    if _INDEX not in files.sizes:
        if _SINGLE not in files.sizes:
            raise ModelUnsafe(f"the model has neither {_SINGLE} nor {_INDEX}")
        return [_SINGLE]
    index = _json_object(files.read(_INDEX, 0, _MAX_INDEX_BYTES), _INDEX)
    weight_map = index.get("weight_map")
    shards = list(dict.fromkeys(weight_map.values())) if isinstance(weight_map, dict) else []
    if not shards or not all(isinstance(shard, str) and shard in files.sizes for shard in shards):
        raise ModelUnsafe(f"{_INDEX} lists no files, or files that the model does not have")
    return shards


def _header(files: Files, shard: str) -> dict[str, TensorHeader]:
    head = files.read(shard, 0, _FIRST)
    try:
        end = LENGTH_BYTES + header_length(head, files.sizes[shard], limit=_MAX_HEADER_BYTES)
        if len(head) < end:
            head += files.read(shard, len(head), end)
        entries = parse_header(head[LENGTH_BYTES:end])
    except InvalidHeader as error:
        raise ModelUnsafe(f"{shard} is not a safetensors file: {error}") from None
    if unknown := next((name for name, entry in entries.items() if entry.dtype not in BITS), None):
        raise ModelUnsafe(f"{shard} has the unknown data type {entries[unknown].dtype[:20]!r} for the tensor {unknown}")
    return {name: TensorHeader(entry.dtype, entry.shape) for name, entry in entries.items()}


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ModelUnsafe(f"{name} is not valid JSON") from None
    if not isinstance(value, dict):
        raise ModelUnsafe(f"{name} is not a JSON object")
    return value
