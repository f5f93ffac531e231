"""Removing what lies below a prefix of the artifact store."""

import shutil
from datetime import datetime
from pathlib import Path

import obstore
from obstore.store import LocalStore, ObjectStore

from service.contract import MANIFEST_NAME


def remove_below(store: ObjectStore, prefix: str) -> int:
    """Remove all files below a prefix; how many there were. None is no error.

    Manifests go first, so that nobody trusts what is half gone.

    Raises:
        BaseError, OSError: the store's own.
    """
    paths = [entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch]
    manifests = [path for path in paths if path.rpartition("/")[2] == MANIFEST_NAME]
    obstore.delete(store, manifests)
    obstore.delete(store, [path for path in paths if path not in manifests])
    if isinstance(store, LocalStore):  # parts of an upload that was killed are not listed
        shutil.rmtree(Path(str(store.prefix)) / prefix, ignore_errors=True)
    return len(paths)


def remove_dead_parts(store: ObjectStore, prefix: str, *, before: datetime) -> int:
    """Remove what uploads that were killed before then have left in a local store, which no listing shows; how much it was."""
    if not isinstance(store, LocalStore):
        return 0
    parts = (Path(str(store.prefix)) / prefix).rglob("*#*")
    dead = [part for part in parts if part.stat().st_mtime < before.timestamp()]
    for part in dead:
        part.unlink(missing_ok=True)
    return len(dead)
