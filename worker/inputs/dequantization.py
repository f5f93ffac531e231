"""Conversion of a checkpoint with fp8 or MXFP4 weights to a plain one in bfloat16, one tensor in memory at a time."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.contract.checkpoint_files import QUANTISER_FILES
from service.contract.checkpoints import QUANTISER_KEYS, sign_of_quantisation
from worker.engine.checkpoint.reader import Checkpoint
from worker.inputs.gguf import ImportRefused
from worker.inputs.quantised_weights import Weight, find_weights, superfluous


def dequantise(source: Path, files: Iterable[Path], folder: Path, say: Callable[[str], None]) -> None:
    """Write the checkpoint `source` with its companion `files` into an existing folder; other tensors are copied as they are.

    Raises:
        ImportRefused: no weight is quantised, or one in a format that cannot be converted.
        ModelUnsafe, FileNotFoundError: the source is no valid checkpoint.
    """
    checkpoint = Checkpoint(source)
    weights = find_weights(checkpoint.tensors, needs_scales=any(checkpoint.config.get(key) for key in QUANTISER_KEYS))
    if not weights:
        raise ImportRefused(f"{source.name} has no weights in fp8 or MXFP4; import it without --dequantize, or take the original")
    dropped = superfluous(list(checkpoint.tensors), weights)
    blocks = _block_size(checkpoint.config)
    shards = {}
    for shard in checkpoint.shards:
        names = [name for name, place in checkpoint.tensors.items() if place.shard == shard and name not in dropped]
        if names:
            say(f"dequantising {shard}")
            shards[shard] = _write_shard(checkpoint, names, weights, blocks, folder / shard)
    if checkpoint.index:
        _write_index(folder / checkpoint.index, shards)
    (folder / "config.json").write_text(json.dumps(_plain(checkpoint.config), indent=2) + "\n", encoding="utf-8")
    written = {*checkpoint.shards, checkpoint.index, "config.json", *QUANTISER_FILES}
    for path in files:
        if path.name not in written and path.suffix != ".safetensors":
            shutil.copyfile(path, folder / path.name)
    _check(Checkpoint(folder), source.name)


def _check(made: Checkpoint, source: str) -> None:
    """Raise ImportRefused if weights in other formats remain."""
    tensors = ((name, place.stored_as, place.shape) for name, place in made.tensors.items())
    if sign := sign_of_quantisation(made.config, (), tensors):
        raise ImportRefused(f"{source} has weights in other formats than fp8 and MXFP4 ({sign}); take the original in bfloat16")


def _block_size(config: Mapping[str, Any]) -> list[int] | None:
    """Return the size of a block of fp8 weights (rows, columns), if the config states it."""
    stated = (config.get("quantization_config") or {}).get("weight_block_size")
    is_size = isinstance(stated, list) and len(stated) == 2 and all(type(size) is int and size > 0 for size in stated)
    return stated if is_size else None


def _write_shard(
    checkpoint: Checkpoint, names: Iterable[str], weights: Mapping[str, Weight], blocks: list[int] | None, path: Path
) -> dict[str, int]:
    """Write a safetensors file tensor by tensor; return the number of bytes of each tensor by name."""
    entries: dict[str, tuple[str, str, tuple[int, ...], int]] = {}  # by new name: source, data type, shape, bytes
    for name in names:
        if weight := weights.get(name):
            entries[weight.name] = (name, "BF16", weight.shape, 2 * torch.Size(weight.shape).numel())
        else:
            place = checkpoint.tensors[name]
            entries[name] = (name, place.stored_as, place.shape, place.end - place.start)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (_, dtype, shape, size) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for source, *_ in entries.values():
            weight = weights.get(source)
            file.write(_bytes(weight.read(checkpoint, blocks) if weight else checkpoint.read(source)))
    return {name: size for name, (_, _, _, size) in entries.items()}


def _bytes(tensor: Tensor) -> Any:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _write_index(path: Path, shards: Mapping[str, Mapping[str, int]]) -> None:
    weight_map = {name: shard for shard, sizes in shards.items() for name in sizes}
    content = {
        "metadata": {"total_size": sum(size for sizes in shards.values() for size in sizes.values())},
        "weight_map": weight_map,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the bfloat16 checkpoint, at any depth."""
    kept = {
        key: _plain(value) if isinstance(value, dict) else value for key, value in config.items() if key not in QUANTISER_KEYS
    }
    return kept | {key: "bfloat16" for key in ("dtype", "torch_dtype") if key in kept}
