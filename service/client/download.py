"""Verified, resumable download of an artifact: a file gets its name only if it matches the manifest."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from service.client.asking import ask, open_body
from service.client.call import Call, as_one, nothing, path_to
from service.client.errors import ApiError, DownloadRefused, StoreRefused, Unreachable
from service.client.flow import Aside, Flow, Pause, Take, Terms
from service.client.patience import RetryBudget, Trouble
from service.contract.artifacts import Manifest, ManifestFile
from service.kit.files import is_intact

_CHUNK = 1 << 20

Received = Callable[[str, int], None]
"""Callback with the path of a file and the number of its bytes downloaded so far."""


def download(terms: Terms, job_id: str, destination: Path, received: Received = lambda _path, _size: None) -> Flow[Manifest]:
    """Download the artifact into `destination`, each file checked against the manifest's SHA-256.

    Files that are already complete and correct are skipped, partial ones are resumed.

    Raises:
        DownloadRefused: a path leaves the destination, or a file does not match the manifest. A wrong file never gets its name.
    """
    listed = Call("GET", path_to("jobs", job_id, "artifacts"), as_one(Manifest.model_validate))
    manifest = yield from ask(terms, listed)
    targets = [(file, _inside(destination, file.path)) for file in manifest.files]
    for file, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (yield Aside(partial(is_intact, target, size=file.bytes, sha256=file.sha256))):
            yield from _fetch(terms, job_id, file, target, received)
        received(file.path, file.bytes)
    return manifest


def download_file(terms: Terms, job_id: str, path: str, destination: Path) -> Flow[ManifestFile]:
    """Download one file of the artifact to `destination`, checked against the manifest's SHA-256.

    Raises:
        DownloadRefused: the artifact has no such file, or the download does not match the manifest.
    """
    listed = Call("GET", path_to("jobs", job_id, "artifacts"), as_one(Manifest.model_validate))
    manifest = yield from ask(terms, listed)
    file = next((each for each in manifest.files if each.path == path), None)
    if file is None:
        raise DownloadRefused(f"the artifact of job {job_id} has no {path}; `dsnot artifacts download` downloads all its files")
    destination.parent.mkdir(parents=True, exist_ok=True)
    if not (yield Aside(partial(is_intact, destination, size=file.bytes, sha256=file.sha256))):
        yield from _fetch(terms, job_id, file, destination, lambda _path, _size: None)
    return file


def _inside(destination: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    root = destination.resolve()
    target = root.joinpath(*parts)
    plain = bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path and "\\" not in path
    if not plain or not target.resolve().is_relative_to(root):
        raise DownloadRefused(f"the manifest names {path!r}, which is outside {destination}; nothing was written")
    return target


class _Part:
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


def _fetch(terms: Terms, job_id: str, file: ManifestFile, target: Path, received: Received) -> Flow[None]:
    """Download one file, resuming an earlier attempt; an old partial file that turns out wrong is discarded once."""
    part: _Part = yield Aside(partial(_Part, target))
    second_chance = part.size > 0
    while True:
        yield from _complete(terms, job_id, file, part, received)
        if part.size == file.bytes and part.sha256 == file.sha256:
            part.append(b"")  # so that an empty file exists, too
            part.path.replace(target)
            return
        part.discard()
        if not second_chance:
            raise DownloadRefused(f"{file.path} does not match the manifest: its size or SHA-256 differs; it was not kept")
        second_chance = False


def _complete(terms: Terms, job_id: str, file: ManifestFile, part: _Part, received: Received) -> Flow[None]:
    """Append to the partial file until it has at least the size in the manifest."""
    patience = RetryBudget(terms.patience)
    while part.size < file.bytes:
        before = part.size
        try:
            yield from _append(job_id, file, part, received)
            if part.size <= before:
                return
            continue
        except httpx.TransportError as error:
            if part.size > before:
                patience.restart()
            trouble: Trouble = Unreachable(terms.url, error)
        except (ApiError, StoreRefused) as error:  # each redirect to the store has a new presigned URL
            trouble = error
        yield Pause(patience.pause_after(trouble))


def _append(job_id: str, file: ManifestFile, part: _Part, received: Received) -> Flow[None]:
    body = yield from open_body(_rest_of(job_id, file, part.size))
    if body.response.status_code != httpx.codes.PARTIAL_CONTENT:
        part.discard()
    while (piece := (yield Take(body))) is not None:
        yield Aside(partial(part.append, piece))
        received(file.path, part.size)
        if part.size > file.bytes:
            return


def _rest_of(job_id: str, file: ManifestFile, start: int) -> Call[Any]:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    return Call("GET", path_to("jobs", job_id, "artifacts", *file.path.split("/")), nothing, headers=headers)
