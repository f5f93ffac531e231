"""Data sets uploaded by tenants: fetched from the artifact store into a cache that this host's workers share.

A file's name holds the SHA-256 of its content, which is checked at every read from cache or store. A reader loads the whole
content at once, so that other processes may remove the file at any time.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from service.contract.datasets import upload_prefix
from service.contract.failures import FailureCode
from service.logging import get_logger
from service.storage.reasons import reason_of
from worker.failures import JobFailure
from worker.store_transfer import paths_below, stored_chunks

log = get_logger(__name__)

_MOST_BYTES: Final = 4 * 2**30
"""Size limit of the cache; beyond it, the least recently read files are removed."""
_KEEP_SECONDS: Final = 7 * 86_400.0
"""TTL of a file since its last read."""


class Uploads:
    """Uploaded data sets of one tenant."""

    def __init__(self, store: ObjectStore, tenant: str, cache_dir: Path) -> None:
        self._store, self._tenant = store, tenant
        self._cache = cache_dir / "uploads"

    def documents(self, dataset_id: str) -> list[str]:
        """Return all documents of a data set, in the order of the upload.

        Raises:
            JobFailure: `dataset-unavailable`: it no longer exists, is damaged, or cannot be read at the moment.
        """
        place = upload_prefix(self._tenant, dataset_id)
        content = self._cached(self._cache / place)
        if content is None:
            content = self._fetched(place, dataset_id)
        return [json.loads(line)["text"] for line in content.split(b"\n") if line]

    def _cached(self, folder: Path) -> bytes | None:
        for path in folder.glob("*.jsonl"):
            with suppress(FileNotFoundError):  # removed concurrently
                content = path.read_bytes()
                if _digest(content) == path.stem:
                    os.utime(path)
                    return content
                log.warning("cached_dataset_damaged", file=path.name)
                path.unlink()
        return None

    def _fetched(self, place: str, dataset_id: str) -> bytes:
        for name, content in self._stored(place, dataset_id):
            digest = name.partition("-")[0]
            if _digest(content) == digest and f"ds-{digest}".startswith(dataset_id):
                self._put(self._cache / place / f"{digest}.jsonl", content)
                return content
            log.error("dataset_damaged", file=name)
        detail = f"The data set {dataset_id} is no longer in the store, or is damaged there; upload the same text again."
        raise JobFailure(FailureCode.DATASET_UNAVAILABLE, detail)

    def _stored(self, place: str, dataset_id: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of the stored files: more than one only until garbage collection removes the other."""
        try:
            for path in paths_below(self._store, place):
                with suppress(FileNotFoundError):
                    yield path.rpartition("/")[2], b"".join(stored_chunks(self._store, path))
        except (BaseError, OSError) as error:
            detail = f"The data set {dataset_id} could not be read from the artifact store: {reason_of(error)}."
            raise JobFailure(FailureCode.DATASET_UNAVAILABLE, detail) from error

    def _put(self, path: Path, content: bytes) -> None:
        """Write the file atomically, because several workers may fetch it at once."""
        self._make_room(len(content))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)

    def _make_room(self, size: int) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._cache.rglob("*.*"):
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total, oldest = size + sum(taken for _, taken, _ in found), time.time() - _KEEP_SECONDS
        for read_at, taken, path in sorted(found):
            if read_at < oldest or total > _MOST_BYTES:
                path.unlink(missing_ok=True)
                total -= taken


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
