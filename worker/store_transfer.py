"""Files on their way into the store and back: in parts, several at a time, each tried again by itself.

One request never carries a whole file, so that a slow line costs the time of a part and not the limit of a request.
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

from service.contract import FailureCode, ManifestFile
from service.kit.files import fsync
from worker.failures import JobFailure

CHUNK: Final = 4 * 1024 * 1024  # bytes
_MIN_PART: Final = 8 * 1024 * 1024  # bytes of one part of a multipart upload
_MAX_PARTS: Final = 900  # S3 allows 10 000, Swift as it is set up by default 1000
_AT_ONCE: Final = 4
_TRIES: Final = 3

T = TypeVar("T")
Tick = Callable[[], None]
Sent = Callable[[int], None]
"""Told of bytes that went by, in either direction. What it raises stops the transfer."""


def upload(store: ObjectStore, key: str, path: Path, name: str, sent: Sent) -> ManifestFile:
    """Put one file, hashing what is sent on its way."""
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
    """Size and SHA-256 of what the store holds. A local store's file is flushed to the disk first."""
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
    """The content of a small object.

    Raises:
        FileNotFoundError: there is none.
        BaseError, OSError: the store's own.
    """
    return asked(lambda: bytes(obstore.get(store, key).bytes()))


def paths_below(store: ObjectStore, prefix: str) -> list[str]:
    """The paths of all objects below a prefix.

    Raises:
        BaseError, OSError: the store's own.
    """
    return asked(lambda: [entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch])


def asked(request: Callable[[], T]) -> T:
    """The answer to a request that can be repeated, repeated also where the store's client does not.

    It goes on with an object that breaks off, but gives up on a list or a refusal that does, and, if no answer comes, on what is
    to be put only if absent.
    """
    for _ in range(_TRIES - 1):
        with suppress(GenericError):
            return request()
    return request()


def stored_chunks(store: ObjectStore, key: str) -> Iterator[bytes]:
    """The content of an object, in order; a few parts of it are fetched at a time.

    Raises:
        BaseError, OSError: the store's own.
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
    """The content of a file."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@contextmanager
def store_trouble() -> Iterator[None]:
    """Tell the user of trouble with the store by its class alone: the store's own text holds addresses.

    Raises:
        JobFailure: `artifact-upload-failed`
    """
    try:
        yield
    except (BaseError, OSError) as error:
        raise refused(f"The artifact store refused ({type(error).__name__}).") from error


def refused(detail: str) -> JobFailure:
    return JobFailure(FailureCode.ARTIFACT_UPLOAD_FAILED, detail)
