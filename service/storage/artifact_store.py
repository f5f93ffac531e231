"""The artifact store as the service uses it: reading small files, pointing callers at large ones, taking what they upload."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError

from service.errors import Unavailable
from service.kit.files import fsync
from service.storage.opening import open_at, open_for_callers
from service.storage.removal import remove_below, remove_dead_parts

_REMOTE: Final[dict[str, Any]] = {
    "client_options": {"connect_timeout": "2s", "timeout": "5s"},
    "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
}
_PATIENT: Final[dict[str, Any]] = {
    "client_options": {"connect_timeout": "2s", "timeout": "30s"},
    "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
}
"""For requests that carry a part of a file."""
_PART: Final = 5 * 1024 * 1024  # bytes; S3 allows none that is smaller, but for the last
_AT_ONCE: Final = 2


class StoreUnavailable(Unavailable):
    """Its own words stay in the log: they may hold addresses and account names."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the artifact store does not answer ({type(error).__name__})", retry_after=5)


class ArtifactStore:
    """One place: a local directory, which is created, or a bucket with a prefix."""

    def __init__(self, url: str, public_endpoint: str | None = None) -> None:
        """`public_endpoint`: where callers reach the store, if they do so under another address than we."""
        self._root = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        self._store = open_at(url, **_REMOTE)
        self._taking = open_at(url, **_PATIENT)
        self._signer = open_for_callers(url, public_endpoint) if public_endpoint else self._store

    def read(self, path: str) -> bytes:
        """A small file.

        Raises:
            FileNotFoundError: there is none.
            StoreUnavailable: the store does not answer.
        """
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def put(self, path: str, content: IO[bytes]) -> None:
        """Take a file, a few parts of which are in memory at a time. Once this returns, it is not lost.

        Raises:
            StoreUnavailable: the store does not take it.
        """
        try:
            obstore.put(self._taking, path, content, chunk_size=_PART, max_concurrency=_AT_ONCE)
            if self._root is not None:
                stored = self._root / path
                fsync(stored, stored.parent, stored.parent.parent)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def files_below(self, prefix: str, *, before: datetime) -> Iterator[list[str]]:
        """The paths of files that were last changed before then, some at a time.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            for batch in obstore.list(self._store, prefix=prefix):
                yield [entry["path"] for entry in batch if entry["last_modified"] < before]
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def remove_dead_parts(self, prefix: str, *, before: datetime) -> int:
        """Remove what killed uploads have left that `files_below` does not show; how much it was."""
        return remove_dead_parts(self._store, prefix, before=before)

    def delete(self, path: str) -> None:
        """Remove one file; that it is gone already is no error.

        Raises:
            StoreUnavailable: the store does not answer, or does not allow it.
        """
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of a file. Raises as `read`."""
        try:
            return bytes(obstore.get_range(self._store, path, start=start, end=end)) if end > start else b""
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def local(self, path: str) -> Path | None:
        """Where the file lies on this host; None if the store is elsewhere.

        Raises:
            FileNotFoundError: it would lie outside the store, or is no file.
        """
        if self._root is None:
            return None
        root = self._root.resolve()
        found = (root / path).resolve()
        if not found.is_relative_to(root) or not found.is_file():
            raise FileNotFoundError(path)
        return found

    def sign(self, method: str, path: str, seconds: int) -> str:
        """An address at which the file can be had without credentials for a while.

        Raises:
            StoreUnavailable: our credentials do not allow that.
        """
        try:
            return str(obstore.sign(self._signer, method, path, timedelta(seconds=seconds)))
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def remove(self, prefix: str) -> int:
        """Remove all files below a prefix; returns how many there were. None is no error.

        Raises:
            StoreUnavailable: the store does not answer, or does not allow it.
        """
        try:
            return remove_below(self._store, prefix)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def check(self) -> None:
        """Raise if the store cannot be used now."""
        if self._root is not None:
            if not self._root.is_dir():
                raise FileNotFoundError("the artifact directory does not exist")
            return
        for _ in obstore.list(self._store, prefix="jobs", chunk_size=1):
            break
