"""What a worker takes up of its host."""

import shutil
from pathlib import Path

import psutil

from service.workers.repository import Usage


def usage(cache_dir: Path) -> Usage:
    """Of this process and all below it.

    Raises:
        OSError, psutil.Error: the host does not tell.
    """
    return Usage(_resident(psutil.Process()), shutil.disk_usage(_existing(cache_dir)).free)


def _existing(folder: Path) -> Path:
    """The folder, or what is there of the way to it."""
    return next(place for place in [folder, *folder.parents] if place.exists())


def _resident(parent: psutil.Process) -> int:
    """Bytes of memory of a process and all below it."""
    total = 0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
