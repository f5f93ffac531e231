"""Resource usage of a worker on its host."""

import shutil
from pathlib import Path

import psutil

from service.workers.repository import Usage


def usage(cache_dir: Path) -> Usage:
    """Return resident memory of this process and its descendants, and free disk of the cache, in bytes.

    Raises:
        OSError, psutil.Error: the host does not report them.
    """
    return Usage(_resident(psutil.Process()), shutil.disk_usage(_existing(cache_dir)).free)


def memory_bytes(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the memory that a worker may use: the host's, or its container's limit if that is less."""
    total = psutil.virtual_memory().total
    try:
        text = limit.read_text().strip()
    except OSError:
        return total
    return min(total, int(text)) if text.isdigit() else total


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(place for place in [folder, *folder.parents] if place.exists())


def _resident(parent: psutil.Process) -> int:
    """Return the resident bytes of a process and its descendants."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
