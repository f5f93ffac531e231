"""Journal of finished blocks on disk, from which an interrupted run resumes with bit-identical results.

A finished block is one file, `0007-<SHA-256 of the file>.safetensors`: the checkpoint's tensors that it changed, as they
are in the destination, and in the header the reports of its matrices and the key of the run. A file gets its final name
only when it is completely on disk; a file whose hash differs from its name is damaged and is removed. The key covers
everything that affects the bits of the result; a file with another key belongs to another run and is removed, too.

A file may be missing: then its block is computed again, and only that one.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from service.contract import recipe as recipes
from service.contract.matrices import MatrixReport
from service.contract.recipe.recipe import Recipe

_HEADER = "dsnot"
_PARTIAL = ".part"


@dataclass(frozen=True)
class Finished:
    """Finished block: the checkpoint's tensors that it changed, by name, and the reports of its matrices."""

    tensors: dict[str, Tensor]
    reports: tuple[MatrixReport, ...]


class Journal:
    """Folder with the finished blocks of one run, written in the background, one block behind the run."""

    def __init__(self, folder: Path, saved: Callable[[Path], None] = lambda _: None) -> None:
        """Set the folder, created on the first write; `saved` is called, in a thread, with every file once it is on disk."""
        self.folder = folder
        self._saved = saved
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def find(self, block: int, key: str) -> Finished | None:
        """Return the block finished by a run with this key, if any; remove its files that are damaged or of another run."""
        for path in sorted(self.folder.glob(f"{block:04d}-*.safetensors")):
            finished = _read(path, key)
            if finished is not None:
                return finished
            path.unlink(missing_ok=True)
        return None

    def keep(self, block: int, finished: Finished, key: str) -> None:
        """Start writing a block once the previous one is on disk; OSError if writing the previous one failed."""
        self.settle()
        self._writing = self._writer.submit(self._write, block, finished, key)

    def settle(self) -> None:
        """Wait until all blocks are on disk; OSError if writing failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait for the write in progress, and ignore its errors."""
        self._writer.shutdown()

    def _write(self, block: int, finished: Finished, key: str) -> None:
        header = {"key": key, "reports": [report.model_dump() for report in finished.reports]}
        content = save(finished.tensors, {_HEADER: json.dumps(header)})
        path = self.folder / f"{block:04d}-{hashlib.sha256(content).hexdigest()}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}{_PARTIAL}")
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        _settle_names(self.folder)
        self._saved(path)


@contextmanager
def opened(journal: Journal | None) -> Iterator[Journal | None]:
    """Yield the journal, if there is one; at exit its last block is on disk, or OSError is raised."""
    if journal is None:
        yield None
        return
    with closing(journal):
        yield journal
        journal.settle()


def run_key(*, source: str, recipe: Recipe, tokens: Tensor, device: torch.device, tokens_per_batch: int) -> str:
    """Return a hash of everything that can change a bit of a run's result.

    It covers the source (a hash of its files), the recipe, the tokens, the batch size, the engine's own code, the versions
    of its libraries, and the type of processor with its number of threads, which determines the order of summation.
    """
    return _key(source, tokens, device, recipe=recipe.to_dict(), batch=tokens_per_batch)


def evaluation_key(*, source: str, windows: Tensor, device: torch.device) -> str:
    """Return the same kind of hash for losses measured on windows with the default batch size."""
    return _key(source, windows, device)


def generation_key(*, source: str, prompts: str, device: torch.device) -> str:
    """Return the same kind of hash for continuations; `prompts` is a text of all that determines them."""
    return _hashed(source, prompts, device)


def _key(source: str, tokens: Tensor, device: torch.device, **more: Any) -> str:
    return _hashed(source, [*tokens.shape, hashlib.sha256(tokens.contiguous().numpy().data).hexdigest()], device, **more)


def _hashed(source: str, tokens: Any, device: torch.device, **more: Any) -> str:
    parts = {
        "source": source,
        "tokens": tokens,
        "engine": _own_code(),
        "libraries": [version("torch"), version("transformers")],
        "processor": _processor(device),
        **more,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(path: Path, key: str) -> Finished | None:
    """Return the content of a file, or None if it is damaged or of a run with another key."""
    content = path.read_bytes()
    if path.stem != f"{path.name[:4]}-{hashlib.sha256(content).hexdigest()}":
        return None
    try:
        header: dict[str, Any] = json.loads(_metadata(content)[_HEADER])
        if header["key"] != key:
            return None
        reports = tuple(map(MatrixReport.model_validate, header["reports"]))
        return Finished(load(content), reports)
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def _own_code() -> str:
    """Return a hash of the source of the engine and of its recipes: every module, at any depth."""
    digest = hashlib.sha256()
    for root in (Path(__file__).parents[1], Path(next(iter(recipes.__path__)))):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _processor(device: torch.device) -> list[Any]:
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), torch.version.cuda]
    return [torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]


def _settle_names(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
