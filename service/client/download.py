"""Files of a download: their paths, and the partial file under a temporary name."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from service.client.errors import DownloadRefused

_CHUNK = 1 << 20

Received = Callable[[str, int], None]
"""Callback with the path of a file and the number of its bytes downloaded so far."""


def path_inside(destination: Path, path: str) -> Path:
    """Return where to write a file of the manifest.

    Raises:
        DownloadRefused: the path leaves the destination.
    """
    parts = PurePosixPath(path).parts
    root = destination.resolve()
    target = root.joinpath(*parts)
    plain = bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path and "\\" not in path
    if not plain or not target.resolve().is_relative_to(root):
        raise DownloadRefused(f"the manifest names {path!r}, which is outside {destination}; nothing was written")
    return target


class PartialFile:
    """Partial download of a file, under a temporary name, and its digest."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.dsnot-part")
        self.size, self._digest = 0, hashlib.sha256()
        if self.path.exists():
            with self.path.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    self._count(chunk)

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far."""
        return self._digest.hexdigest()

    def append(self, chunk: bytes) -> None:
        """Write the next bytes."""
        try:
            with self.path.open("ab") as output:
                output.write(chunk)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None  # a full disk names no file
        self._count(chunk)

    def discard(self) -> None:
        """Delete the file and start from the first byte."""
        self.path.unlink(missing_ok=True)
        self.size, self._digest = 0, hashlib.sha256()

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._digest.update(chunk)
