"""Writing the pruned checkpoint: a byte copy of the source in which the pruned weights are overwritten by zeros.

So tensor names, types, order, shards and index are the source's by construction, tensors that are not pruned are
byte for byte the same, and memory never holds more than one tensor.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from worker.engine.checkpoint import INDEX, Checkpoint, is_inside

_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken"}  # config, tokenizer, generation, templates
_LEGAL = ("license", "licence", "notice", "use_policy", "copying")
_CHUNK = 1 << 24  # bytes


class Output:
    """The destination folder, written to while the run goes on."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        """ValueError where the destination is the source itself."""
        if folder.resolve() == checkpoint.folder.resolve():
            raise ValueError("The destination must be another folder than the source.")
        self._checkpoint = checkpoint
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def copy_source(self, tick: Callable[[], None]) -> None:
        """Copy the weights and all that belongs to them; `tick` is called for every chunk."""
        source = self._checkpoint.folder
        index = [INDEX] if (source / INDEX).is_file() else []
        for name in (*self._checkpoint.shards, *index, *_companions(source)):
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._checkpoint.path(name).open("rb") as reader, target.open("wb") as writer:
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)
                    tick()

    def write(self, name: str, pruned: Tensor) -> float:
        """Set the pruned weights of a tensor to zero; the others stay bit for bit. Returns its zeros / weights."""
        place = self._checkpoint.tensors[name]
        tensor = self._checkpoint.read(name).masked_fill_(pruned.cpu(), 0)
        with (self._folder / place.shard).open("r+b") as file:
            file.seek(place.start)
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return (tensor.numel() - int(tensor.count_nonzero())) / tensor.numel()


def _companions(folder: Path) -> list[str]:
    """The files of a checkpoint beside its weights: no other weights, no code, nothing hidden, no links that leave."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or len(name.parts) > 2 or not path.is_file() or not is_inside(path, folder):
            continue
        legal = path.name.lower().startswith(_LEGAL) and path.suffix.lower() in {"", ".md", ".txt"}
        if (path.suffix in _SUFFIXES or legal) and not path.name.endswith(".index.json"):
            found.append(str(name))
    return found
