"""Writer of the pruned checkpoint: a byte copy of the source in which the pruned weights are overwritten.

So tensor names, types, order, shards and index are the source's by construction, and tensors that are not pruned are
byte-identical. Where the model's parameters have another layout than the checkpoint's tensors (fused, split, transposed),
masks and new weights are mapped back to the checkpoint; its tensors themselves are only read, masked and written.
Of the other files, configs lose the names of code (`auto_map`), and those that belong to other weights are left out.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.contract.checkpoint_files import CONFIGS
from worker.engine.checkpoint.reader import INDEX, NUMBERED, Checkpoint
from worker.engine.checkpoint.source_files import hashed_chunks, source_files
from worker.engine.checkpoint.weight_mapping import WeightMapping
from worker.engine.errors import NumericalFailure
from worker.engine.matrix_bits import count_zeros, is_finite, zero_pruned_
from worker.engine.model.matrices import Matrix


@dataclass(frozen=True)
class Change:
    """Change of a matrix: its mask (out, in) bool, and its new weights (out, in) if the recipe updates them."""

    pruned: Tensor
    weight: Tensor | None = None


class Output:
    """Destination folder, written to block by block during the run."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Create the folder. ValueError if it is the source itself."""
        if folder.resolve() == checkpoint.folder.resolve():
            raise ValueError("The destination must be another folder than the source.")
        self._checkpoint = checkpoint
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def copy_source(self, tick: Callable[[], None]) -> str:
        """Copy the weights and their companion files and return their SHA-256; `tick` is called for every chunk."""
        digest = hashlib.sha256()
        for name in source_files(self._checkpoint):
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as writer:
                for chunk in hashed_chunks(self._checkpoint, name, digest):
                    writer.write(chunk)
                    tick()
            if name in CONFIGS and (content := _without_code(self._checkpoint.path(name))) is not None:
                target.write_bytes(content)
        if self._checkpoint.shards == (NUMBERED,) and not self._checkpoint.index:
            self._write_index()
        return digest.hexdigest()

    def _write_index(self) -> None:
        """Write the index that transformers needs to find a numbered shard."""
        size = sum(place.end - place.start for place in self._checkpoint.tensors.values())
        weight_map = dict.fromkeys(sorted(self._checkpoint.tensors), NUMBERED)
        content = json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}, indent=2)
        (self._folder / INDEX).write_text(content + "\n", encoding="utf-8")

    @property
    def written(self) -> Checkpoint:
        """The destination as a checkpoint: the tensors written so far, and the source's for the rest."""
        return Checkpoint(self._folder)

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the source's tensors, by name."""
        for name, tensor in tensors.items():
            for place in (self._checkpoint.tensors[name], *self._checkpoint.copies.get(name, ())):
                with (self._folder / place.shard).open("r+b") as file:
                    file.seek(place.start)
                    file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


@dataclass(frozen=True)
class Changed:
    """Changed tensors of the checkpoint, by name, and the sparsity (zeros / weights) of each changed matrix."""

    tensors: dict[str, Tensor]
    zeros: dict[str, float]

    @classmethod
    def by(cls, checkpoint: Checkpoint, changes: Mapping[Matrix, Change]) -> "Changed":
        """Apply the changes of a block's matrices; weights neither pruned nor updated stay bit-identical.

        Matrices that share tensors must be in one call. NumericalFailure if new weights are not finite.
        """
        groups: dict[WeightMapping, dict[Matrix, Change]] = {}
        for matrix, change in changes.items():
            groups.setdefault(matrix.filling, {})[matrix] = change
        made = cls({}, {})
        for filling, group in groups.items():
            made._change(checkpoint, filling, group)
        return made

    def _change(self, checkpoint: Checkpoint, filling: WeightMapping, changes: Mapping[Matrix, Change]) -> None:
        """Map masks and weights to the checkpoint's layout, change its tensors, and count the zeros of each matrix."""
        pruned = filling.backwards(_spread(filling, {m: change.pruned for m, change in changes.items()}, torch.bool))
        updates = {m: change.weight for m, change in changes.items() if change.weight is not None}
        values: Sequence[Tensor | None] = [None] * len(pruned)
        is_new = pruned
        if updates:
            values = filling.backwards(_spread(filling, updates, torch.float32))
            is_new = filling.backwards(_spread(filling, {m: torch.tensor(True) for m in updates}, torch.bool))
        written = []
        for name, mask, value, is_updated in zip(filling.tensors, pruned, values, is_new, strict=True):
            tensor = checkpoint.read(name)
            if value is not None:
                new = value.to(tensor.dtype, copy=True)
                tensor = new if is_updated.all() else torch.where(is_updated, new, tensor)
                if not is_finite(tensor):
                    raise NumericalFailure(f"The new weights of {name} are NaN or infinite; try another update or more damping.")
            self.tensors[name] = zero_pruned_(tensor, mask)
            written.append(tensor)
        parameters = filling.forwards(written)
        for matrix in changes:
            self.zeros[matrix.name] = count_zeros(matrix.view(parameters[matrix.full_name])) / math.prod(matrix.shape)


def _spread(filling: WeightMapping, parts: Mapping[Matrix, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the parameters, on the CPU, with the values of matrices (out, in) in place, zero elsewhere; to be read only."""
    covered = {matrix.full_name: part for matrix, part in parts.items() if matrix.index is None and not matrix.is_transposed}
    whole = {
        name: covered[name].to("cpu", dtype).expand(shape) if name in covered else torch.zeros(shape, dtype=dtype)
        for name, shape in filling.shapes.items()
    }
    for matrix, part in parts.items():
        if matrix.full_name not in covered:
            matrix.view(whole[matrix.full_name]).copy_(part)
    return whole


def _without_code(path: Path) -> bytes | None:
    """Return the content of a JSON config without its `auto_map`; None if it has none, or is not read by anything."""
    found: list[Any] = []

    def drop(value: dict[str, Any]) -> dict[str, Any]:
        found.append(value.pop("auto_map", None))
        return value

    try:
        content = json.dumps(json.loads(path.read_bytes(), object_hook=drop), indent=2)
    except (ValueError, RecursionError):
        return None
    return f"{content}\n".encode() if any(value is not None for value in found) else None
