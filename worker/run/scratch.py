"""Scratch folder of one attempt.

It is locked (flock) while its owner lives, so that any process can detect and remove the folder of a killed worker.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID


@contextmanager
def scratch_folder(cache_dir: Path, job_id: UUID, fence: int) -> Iterator[Path]:
    """Yield a new, empty folder that is always removed afterwards."""
    root = cache_dir / "scratch"
    remove_abandoned(root)
    folder = root / f"{job_id}-{fence}"
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of attempts whose process has died, which released their locks."""
    for folder in root.glob("*"):
        if folder.is_dir() and _is_unlocked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_unlocked(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
