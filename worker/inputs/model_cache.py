"""Cache of hub models and earlier jobs' artifacts on this host's disk, shared by its workers.

A worker holds a shared lock on the model that it uses; unlocked models can be evicted, least recently used first. The lock
file outlives the model, and its modification time is the time of last use.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec, cache_key
from service.kit.quantities import gib
from service.logging import get_logger
from worker.failures import JobFailure

log = get_logger(__name__)

_ARTIFACT: Final = re.compile(r"\.job--(?P<id>[0-9a-f-]{36})-(?P<fence>[0-9]+)")
"""Name of an artifact's folder, after `models--`."""


def root(cache_dir: Path) -> Path:
    """Return the hub client's cache folder, with a folder per model; artifacts of earlier jobs are stored there, too."""
    return cache_dir / "hub"


def folder_of(model: ModelSpec) -> str:
    """Return the name of a model's folder: the hub client's name; for an artifact, a name that no hub model can have."""
    if model.source == "job":
        return f"models--.job--{model.id}-{model.revision}"
    return "models--" + model.id.replace("/", "--")


@contextmanager
def in_use(cache_dir: Path, model: ModelSpec) -> Iterator[None]:
    """Protect the model from eviction within the context, waiting for an eviction in progress; a no-op for local models."""
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
    """Make room to fetch and prune a model: evict others, least recently used first, as far as needed.

    Args:
        download: bytes still to be fetched.
        copy: bytes of its weights, which pruning writes once more.
        max_bytes: limit of all models together; None: only the disk limits them. A model larger than the limit is still fetched.

    Raises:
        JobFailure: `disk-full`: it does not fit even after evicting all others.
    """
    needed, free = download + copy, shutil.disk_usage(cache_dir).free
    if needed > free + _size(root(cache_dir)):
        raise _too_little(download, copy, free)  # before evicting models in vain
    for folder in _least_recently_used(cache_dir):
        too_many = 0 if max_bytes is None else _size(root(cache_dir)) + download - max_bytes
        if too_many <= 0 and free >= needed:
            return
        _remove_unless_used(cache_dir, folder)
        free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise _too_little(download, copy, free)


def cached_models(cache_dir: Path) -> list[str]:
    """Return the keys (`cache_key`) of the models in the cache, whole or in part: hub models by commit, artifacts by fence."""
    return sorted(key for folder in root(cache_dir).glob("models--*") for key in _keys_of(folder))


def _keys_of(folder: Path) -> Iterator[str]:
    name = folder.name.removeprefix("models--")
    if artifact := _ARTIFACT.fullmatch(name):
        yield cache_key("job", artifact["id"], artifact["fence"])
        return
    for commit in (folder / "snapshots").glob("*"):
        yield cache_key("hub", name.replace("--", "/", 1), commit.name)


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
    """Return the bytes of all files below; another worker may be changing them."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return total
