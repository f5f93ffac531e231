"""Removal of the files below a prefix of the artifact store."""

import shutil
from datetime import datetime
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore

from service.contract.artifacts import MANIFEST_NAME


def remove_below(store: ObjectStore, prefix: str) -> int:
    """Remove all files below a prefix; return their number, which may be 0.

    Manifests are removed first, so that a partially removed artifact is never trusted.

    Raises:
        BaseError, OSError: the store fails.
    """
    paths = [entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch]
    manifests = [path for path in paths if path.rpartition("/")[2] == MANIFEST_NAME]
    obstore.delete(store, manifests)
    obstore.delete(store, [path for path in paths if path not in manifests])
    if isinstance(store, LocalStore):  # parts of killed uploads are not listed
        shutil.rmtree(Path(str(store.prefix)) / prefix, ignore_errors=True)
    return len(paths)


def remove_dead_parts(store: ObjectStore, prefix: str, *, before: datetime) -> int:
    """Remove parts that uploads killed before `before` left in a local store, which no listing shows; return their number."""
    if not isinstance(store, LocalStore):
        return 0
    parts = (Path(str(store.prefix)) / prefix).rglob("*#*")
    dead = [part for part in parts if part.stat().st_mtime < before.timestamp()]
    for part in dead:
        part.unlink(missing_ok=True)
    return len(dead)
