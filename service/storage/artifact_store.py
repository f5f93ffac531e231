"""Artifact store of the service: small reads, presigned URLs for large downloads, streamed uploads."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError

from service.errors import Unavailable
from service.kit.files import fsync
from service.storage.addresses import StoreNotUsable
from service.storage.opening import open_at, open_for_callers
from service.storage.reasons import reason_of
from service.storage.removal import remove_below, remove_dead_parts

_REMOTE: Final[dict[str, Any]] = {
    "client_options": {"connect_timeout": "2s", "timeout": "5s"},
    "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
}
_PATIENT: Final[dict[str, Any]] = {
    "client_options": {"connect_timeout": "2s", "timeout": "30s"},
    "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
}
"""Options for uploads, whose requests carry a part of a file."""
_PART: Final = 5 * 1024 * 1024  # bytes; the minimum of S3 for all parts but the last
_AT_ONCE: Final = 2


class StoreUnavailable(Unavailable):
    """Problem 503: the store fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the artifact store cannot be used: {reason_of(error)}", retry_after=5)


class StoreRefused(StoreUnavailable):
    """The store does not allow the deletion of a file."""

    REMEDY: ClassVar = "grant the right to delete objects (S3: s3:DeleteObject), or add a lifecycle rule of your own"


def _unavailable(error: BaseError | OSError) -> StoreUnavailable:
    return StoreRefused(error) if isinstance(error, PermissionDeniedError) else StoreUnavailable(error)


class ArtifactStore:
    """Artifact store in a local directory, which is created, or a bucket with a prefix."""

    def __init__(self, url: str, public_endpoint: str | None = None) -> None:
        """Open the store; `public_endpoint` is the endpoint that callers use, if it differs from the service's."""
        self._root = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        self._store = open_at(url, **_REMOTE)
        self._taking = open_at(url, **_PATIENT)
        self._signer = open_for_callers(url, public_endpoint) if public_endpoint else self._store

    def read(self, path: str) -> bytes:
        """Return the content of a small file.

        Raises:
            FileNotFoundError: there is no such file.
            StoreUnavailable: the store does not answer.
        """
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def put(self, path: str, content: IO[bytes]) -> None:
        """Write a file durably, with a few parts in memory at a time.

        Raises:
            StoreUnavailable: the store does not accept it.
        """
        try:
            obstore.put(self._taking, path, content, chunk_size=_PART, max_concurrency=_AT_ONCE)
            if self._root is not None:
                stored = self._root / path
                fsync(stored, stored.parent, stored.parent.parent)
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def files_below(self, prefix: str, *, before: datetime) -> Iterator[list[str]]:
        """Yield batches of paths of files last changed before `before`.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            for batch in obstore.list(self._store, prefix=prefix):
                yield [entry["path"] for entry in batch if entry["last_modified"] < before]
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def folders_below(self, prefix: str) -> list[str]:
        """Return the paths of the folders directly below a prefix. Raises StoreUnavailable."""
        try:
            return list(obstore.list_with_delimiter(self._store, prefix)["common_prefixes"])
        except FileNotFoundError:
            return []
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def sizes_below(self, prefix: str) -> dict[str, int]:
        """Return the size in bytes of each file below a prefix, by its path. Raises StoreUnavailable."""
        try:
            return {entry["path"]: entry["size"] for batch in obstore.list(self._store, prefix=prefix) for entry in batch}
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file of any size. Raises as `read`."""
        digest = sha256()
        try:
            for part in obstore.get(self._taking, path).stream():
                digest.update(part)
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error
        return digest.hexdigest()

    def remove_dead_parts(self, prefix: str, *, before: datetime) -> int:
        """Remove parts of killed uploads, which `files_below` does not list; return their number."""
        return remove_dead_parts(self._store, prefix, before=before)

    def delete(self, path: str) -> None:
        """Remove one file; a missing file is not an error.

        Raises:
            StoreRefused: the store does not allow it.
            StoreUnavailable: the store does not answer.
        """
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` of a file, `end` exclusive. Raises as `read`."""
        try:
            return bytes(obstore.get_range(self._store, path, start=start, end=end)) if end > start else b""
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def local(self, path: str) -> Path | None:
        """Return the file's local path; None if the store is remote.

        Raises:
            FileNotFoundError: the path leads outside the store, or is not a file.
        """
        if self._root is None:
            return None
        root = self._root.resolve()
        found = (root / path).resolve()
        if not found.is_relative_to(root) or not found.is_file():
            raise FileNotFoundError(path)
        return found

    def sign(self, method: str, path: str, seconds: int) -> str:
        """Return a presigned URL, valid for `seconds`.

        Raises:
            StoreUnavailable: the store's credentials cannot sign.
        """
        try:
            return str(obstore.sign(self._signer, method, path, timedelta(seconds=seconds)))
        except (BaseError, OSError) as error:
            raise StoreUnavailable(error) from error

    def remove(self, prefix: str) -> int:
        """Remove all files below a prefix; return their number, which may be 0.

        Raises:
            StoreRefused: the store does not allow it.
            StoreUnavailable: the store does not answer.
        """
        try:
            return remove_below(self._store, prefix)
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def check(self) -> None:
        """Raise if the store cannot be used now."""
        if self._root is not None:
            if not self._root.is_dir():
                raise StoreNotUsable("the folder of DSNOT_ARTIFACT_URL does not exist")
            return
        for _ in obstore.list(self._store, prefix="jobs", chunk_size=1):
            break
