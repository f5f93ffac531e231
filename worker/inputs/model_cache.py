"""Models of the hub and of earlier jobs on this host's disk, which its workers share.

Whoever uses one holds a lock, and what nobody uses makes room.

A lock's file outlives the model and tells, by its time of change, when the model was last used.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.contract import FailureCode, ModelSpec
from service.kit.quantities import gib
from service.logging import get_logger
from worker.failures import JobFailure

log = get_logger(__name__)


def root(cache_dir: Path) -> Path:
    """Where the hub's own client keeps its models, a folder each; those of earlier jobs lie beside them."""
    return cache_dir / "hub"


def folder_of(model: ModelSpec) -> str:
    """The name of a model's folder: that of the hub's own client; for an artifact one that no model of the hub can have."""
    if model.source == "job":
        return f"models--.job--{model.id}-{model.revision}"
    return "models--" + model.id.replace("/", "--")


@contextmanager
def in_use(cache_dir: Path, model: ModelSpec) -> Iterator[None]:
    """Meanwhile nobody removes the model, if it is not a local one. Waits for one who is about to."""
    if model.source == "local":
        yield
        return
    path = _lock_file(cache_dir, folder_of(model))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(path)
        yield


def reserve(cache_dir: Path, *, download: int, copy: int, max_bytes: int | None = None) -> None:
    """See to it that a model can be fetched and pruned: remove others, the least recently used first, where that is needed.

    Args:
        download: bytes that are still to be fetched.
        copy: bytes of its weights, which are written once more when they are pruned.
        max_bytes: of all models together; None: as many as the disk takes. One that is larger alone is fetched all the same.

    Raises:
        JobFailure: `disk-full`: they do not fit, whatever is removed.
    """
    needed, free = download + copy, shutil.disk_usage(cache_dir).free
    if needed > free + _size(root(cache_dir)):
        raise _too_little(download, copy, free)  # before models are removed in vain
    for folder in _least_recently_used(cache_dir):
        too_many = 0 if max_bytes is None else _size(root(cache_dir)) + download - max_bytes
        if too_many <= 0 and free >= needed:
            return
        _remove_unless_used(cache_dir, folder)
        free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise _too_little(download, copy, free)


def _too_little(download: int, copy: int, free: int) -> JobFailure:
    has, takes, writes = (gib(size) for size in (free, download, copy))
    detail = f"Fetching the model takes {takes} of the worker's disk and its pruned copy {writes}, and {has} are free."
    return JobFailure(FailureCode.DISK_FULL, detail)


def _least_recently_used(cache_dir: Path) -> list[Path]:
    def used(folder: Path) -> float:
        lock = _lock_file(cache_dir, folder.name)
        return lock.stat().st_mtime if lock.exists() else 0.0

    folders = (path for path in root(cache_dir).glob("models--*") if path.is_dir())
    return sorted(folders, key=used)


def _remove_unless_used(cache_dir: Path, folder: Path) -> None:
    path = _lock_file(cache_dir, folder.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        log.info("model_removed_from_cache", model=folder.name, bytes=_size(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _lock_file(cache_dir: Path, name: str) -> Path:
    return cache_dir / "hub-locks" / name


def _size(folder: Path) -> int:
    """Bytes of the files below; another worker may be at work there."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return total
