"""Transfers to and from the artifact store: in parts, several in parallel, each retried separately.

No request carries a whole file, so that on a slow connection a large file does not exceed the request timeout.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import LocalStore, ObjectStore

from service.contract.artifacts import ManifestFile
from service.contract.failures import FailureCode
from service.kit.files import fsync
from service.storage.reasons import reason_of
from worker.failures import JobFailure

CHUNK: Final = 4 * 1024 * 1024  # bytes
_MIN_PART: Final = 8 * 1024 * 1024  # bytes of one part of a multipart upload
_MAX_PARTS: Final = 900  # S3 allows 10 000, Swift by default 1000
_AT_ONCE: Final = 4
_TRIES: Final = 3

T = TypeVar("T")
Tick = Callable[[], None]
Sent = Callable[[int], None]
"""Callback with the bytes transferred since the last call, in either direction. An exception it raises stops the transfer."""


def upload(store: ObjectStore, key: str, path: Path, name: str, sent: Sent) -> ManifestFile:
    """Upload one file, hashing the bytes as they are sent."""
    digest, size = hashlib.sha256(), 0

    def content() -> Iterator[bytes]:
        nonlocal size
        for chunk in chunks(path):
            sent(len(chunk))
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    total = path.stat().st_size
    body = content() if total > _MIN_PART else b"".join(content())  # a small file is one request instead of three
    with store_trouble():
        obstore.put(store, key, body, chunk_size=max(_MIN_PART, total // _MAX_PARTS + 1), max_concurrency=_AT_ONCE)
    return ManifestFile(path=name, bytes=size, sha256=digest.hexdigest())


def read_back(store: ObjectStore, key: str, received: Sent) -> tuple[int, str]:
    """Return size and SHA-256 of an object as read from the store. A local store's file is flushed to disk first."""
    if isinstance(store, LocalStore):
        path = Path(str(store.prefix)) / key
        fsync(path, path.parent)
    digest, size = hashlib.sha256(), 0
    with store_trouble():
        for chunk in stored_chunks(store, key):
            received(len(chunk))
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def read_whole(store: ObjectStore, key: str) -> bytes:
    """Return the content of a small object.

    Raises:
        FileNotFoundError: it does not exist.
        BaseError, OSError: errors of the store.
    """
    return asked(lambda: bytes(obstore.get(store, key).bytes()))


def paths_below(store: ObjectStore, prefix: str) -> list[str]:
    """Return the paths of all objects below a prefix.

    Raises:
        BaseError, OSError: errors of the store.
    """
    return asked(lambda: [entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch])


def asked(request: Callable[[], T]) -> T:
    """Return the response to an idempotent request, retrying also where the store's client does not.

    The client resumes a download that breaks off, but gives up on a list or an error response that breaks off, and on a
    conditional put without a response.
    """
    for _ in range(_TRIES - 1):
        with suppress(GenericError):
            return request()
    return request()


def stored_chunks(store: ObjectStore, key: str) -> Iterator[bytes]:
    """Yield the content of an object in order, fetching a few parts in parallel.

    Raises:
        BaseError, OSError: errors of the store.
    """
    size = obstore.head(store, key)["size"]
    starts = range(0, size, CHUNK)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="store-reads") as pool:
        for first in range(0, len(starts), _AT_ONCE):
            batch = starts[first : first + _AT_ONCE]
            yield from pool.map(lambda start: _part(store, key, start, min(start + CHUNK, size)), batch)


def _part(store: ObjectStore, key: str, start: int, end: int) -> bytes:
    return bytes(obstore.get_range(store, key, start=start, end=end))


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in chunks of `CHUNK` bytes."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@contextmanager
def store_trouble() -> Iterator[None]:
    """Convert errors of the store into failures with the reason.

    Raises:
        JobFailure: `artifact-upload-failed`
    """
    try:
        yield
    except (BaseError, OSError) as error:
        raise refused(f"A request to the artifact store failed: {reason_of(error)}.") from error


def refused(detail: str) -> JobFailure:
    """Return a failure with the code `artifact-upload-failed`."""
    return JobFailure(FailureCode.ARTIFACT_UPLOAD_FAILED, detail)
