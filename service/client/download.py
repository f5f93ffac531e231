"""Fetching an artifact so that what lies on disk afterwards is what the manifest promises, or nothing."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import httpx

from service.client.errors import ApiError, DownloadRefused, StoreRefused, Unreachable
from service.client.transport import Patience, Transport
from service.contract import Manifest, ManifestFile

_CHUNK = 1 << 20

Received = Callable[[str, int], None]
"""Told the path of a file and how many of its bytes are there now."""


def fetch_all(transport: Transport, job_id: str, manifest: Manifest, destination: Path, received: Received) -> None:
    """Bring every file of the manifest below `destination`; what is there already and right is not fetched again.

    Raises:
        DownloadRefused: a path leaves the destination, or a file is not what the manifest says. Nothing wrong keeps its name.
    """
    targets = [(file, _inside(destination, file.path)) for file in manifest.files]
    for file, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _is_there(target, file):
            _fetch(transport, f"/v1/jobs/{job_id}/artifacts/{quote(file.path)}", file, target, received)
        received(file.path, file.bytes)


def _inside(destination: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    root = destination.resolve()
    target = root.joinpath(*parts)
    plain = bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path and "\\" not in path
    if not plain or not target.resolve().is_relative_to(root):
        raise DownloadRefused(f"the manifest names {path!r}, which would lie outside {destination}; nothing was written")
    return target


def _is_there(target: Path, file: ManifestFile) -> bool:
    if not target.is_file() or target.stat().st_size != file.bytes:
        return False
    with target.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


class _Part:
    """The bytes that are there so far, under a name of their own, and their digest."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.dsnot-part")
        self.size, self._digest = 0, hashlib.sha256()
        if self.path.exists():
            with self.path.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    self._count(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def append(self, chunk: bytes) -> None:
        with self.path.open("ab") as output:
            output.write(chunk)
        self._count(chunk)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.size, self._digest = 0, hashlib.sha256()

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._digest.update(chunk)


def _fetch(transport: Transport, url: str, file: ManifestFile, target: Path, received: Received) -> None:
    """Fetch one file, going on where an earlier try stopped; an old part that turns out wrong is forgotten once."""
    part = _Part(target)
    second_chance = part.size > 0
    while True:
        _complete(transport, url, file, part, received)
        if part.size == file.bytes and part.sha256 == file.sha256:
            part.append(b"")  # so that an empty file exists, too
            part.path.replace(target)
            return
        part.discard()
        if not second_chance:
            raise DownloadRefused(f"{file.path} is not what the manifest promises: its size or SHA-256 differs; it was not kept")
        second_chance = False


def _complete(transport: Transport, url: str, file: ManifestFile, part: _Part, received: Received) -> None:
    """Append to the part until it has the size that the manifest says, or more."""
    patience = Patience(transport.patience)
    while part.size < file.bytes:
        before = part.size
        try:
            _append(transport, url, file, part, received)
            if part.size <= before:
                return
        except httpx.TransportError as error:
            if part.size > before:
                patience.restart()
            patience(Unreachable(transport.url, error))
        except (ApiError, StoreRefused) as error:  # the service gives a fresh address to the store each time
            patience(error)


def _append(transport: Transport, url: str, file: ManifestFile, part: _Part, received: Received) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={part.size}-"} if part.size else {})
    with transport.stream(url, headers) as response:
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            part.discard()
        for chunk in response.iter_bytes():
            part.append(chunk)
            received(file.path, part.size)
            if part.size > file.bytes:
                return
