"""Files of a source that a pruned checkpoint takes over, and the SHA-256 over them that identifies their content on any host."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from service.contract.checkpoint_files import companions
from worker.engine.checkpoint.reader import Checkpoint, is_inside

_CHUNK = 1 << 24  # bytes


def source_files(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the weights and their companion files, as POSIX paths within the folder."""
    weights = checkpoint.weight_files
    return (*weights, *companions(_files(checkpoint.folder), weights).names)


def hashed_chunks(checkpoint: Checkpoint, name: str, digest: Any) -> Iterator[bytes]:
    """Yield the content of a file; name, size and content are added to `digest`."""
    path = checkpoint.path(name)
    digest.update(f"{name}\0{path.stat().st_size}\0".encode())
    with path.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            yield chunk


def source_digest(checkpoint: Checkpoint, tick: Callable[[], None]) -> str:
    """Return the SHA-256 over the source's files, all of which are read; `tick` is called for every chunk."""
    digest = hashlib.sha256()
    for name in source_files(checkpoint):
        for _ in hashed_chunks(checkpoint, name, digest):
            tick()
    return digest.hexdigest()


def _files(folder: Path) -> list[str]:
    """Return all files of the folder as sorted POSIX paths, without links out of it."""
    found = (path for path in folder.rglob("*") if path.is_file() and is_inside(path, folder))
    return sorted(path.relative_to(folder).as_posix() for path in found)
