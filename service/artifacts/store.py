"""The artifact store as the service uses it: reading small files, and pointing callers at large ones."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError

from service.errors import Unavailable
from service.storage.opening import open_at, open_for_callers
from service.storage.removal import remove_below

_REMOTE: Final[dict[str, Any]] = {
    "client_options": {"connect_timeout": "2s", "timeout": "5s"},
    "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
}


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
