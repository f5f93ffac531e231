"""Altered checkpoint folders, and what the service and the worker say about them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.models.folder import FolderFiles
from service.models.headers import read_headers
from service.models.outline import ModelOutline
from service.models.refusals import ModelRefused
from service.models.unsupported import usable_outline
from worker import engine
from worker.engine.errors import EngineError
from worker.failures import ModelError
from worker.inputs.models import check_checkpoint

Stored = tuple[str, list[int], bytes]
"""Number type, shape and bytes of a tensor in a safetensors file."""


def read_shard(path: Path) -> dict[str, Stored]:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    places = {name: entry["data_offsets"] for name, entry in header.items()}
    return {
        name: (entry["dtype"], entry["shape"], content[start + places[name][0] : start + places[name][1]])
        for name, entry in header.items()
    }


def write_shard(path: Path, tensors: Mapping[str, Stored]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    raw = json.dumps(header).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + b"".join(content for _, _, content in tensors.values()))


def write_index(folder: Path, shards: Mapping[str, Mapping[str, Stored]]) -> None:
    """Write shards by name and their index."""
    for shard, tensors in shards.items():
        write_shard(folder / shard, tensors)
    weight_map = {name: shard for shard, tensors in shards.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def said_by_service(folder: Path) -> ModelOutline | str:
    """The service's outline of a model, or why it refuses it."""
    try:
        return usable_outline(read_headers(FolderFiles(folder), None))
    except ModelRefused as error:
        return error.detail


def said_by_worker(folder: Path) -> engine.Outline | str:
    """The worker's outline of a model, or why it refuses it."""
    try:
        check_checkpoint(folder, inside=folder)
        return engine.outline(folder)
    except ModelError as error:
        return error.detail
    except EngineError as error:
        return str(error)
