"""Integrity check of an artifact's folder: manifest, SHA256SUMS, and the checksums in packed files and masks."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from service.contract.artifacts import MANIFEST_NAME, Manifest
from service.kit.files import sha256_of
from service.packing.container import MASK_SUFFIX, PACKED_SUFFIX, Progress, opened
from service.packing.errors import Altered, Missing, NothingToDo, PackingError, Truncated
from service.packing.folders import sums
from service.packing.header import FileFacts
from service.packing.packing import quiet
from service.packing.restoring import check_masks, read, unpacked


@dataclass(frozen=True)
class Verified:
    """Checked files and the faults found, at most one per file."""

    files: list[str]
    faults: list[PackingError]
    restored: list[str]
    """Safetensors files among them that were restored from packed files and masks."""


def verify(folder: Path, on_progress: Progress = quiet) -> Verified:
    """Check every file with a known checksum. Faults are collected, not raised.

    Raises:
        NothingToDo: the folder has no artifact files.
        Altered: manifest or SHA256SUMS cannot be parsed.
    """
    expected = _expected(folder)
    containers = {path.name for suffix in (PACKED_SUFFIX, MASK_SUFFIX) for path in folder.glob(f"*{suffix}")}
    if not expected and not containers:
        raise NothingToDo(folder, "has no manifest.json, no SHA256SUMS and no packed files; name an artifact's folder")
    checking = _Checking(folder, on_progress)
    for name in sorted(containers):
        checking.container(name)
    for name, (size, digest) in sorted((checking.restored | expected).items()):
        checking.file(name, size, digest)
    files = sorted(containers | expected.keys() | checking.restored.keys())
    return Verified(files, list(checking.faults.values()), sorted(checking.restored.keys() - expected.keys()))


class _Checking:
    def __init__(self, folder: Path, on_progress: Progress) -> None:
        self._folder, self._told = folder, on_progress
        self.faults: dict[str, PackingError] = {}
        self.restored: dict[str, tuple[int | None, str]] = {}
        """Restored safetensors files that exist: name → size in bytes and SHA-256."""

    def container(self, name: str) -> None:
        """Check a packed file or a mask."""
        try:
            with opened(self._folder / name) as container:
                if container.header.kind == "mask":
                    check_masks(container, self._told)
                else:
                    read(container, unpacked, lambda _: None, self._told, is_thorough=True)
                self._note_restored(container.header.file)
        except PackingError as fault:
            self.faults[name] = fault

    def _note_restored(self, facts: FileFacts) -> None:
        if (self._folder / facts.name).is_file():
            self.restored[facts.name] = (facts.bytes, facts.sha256)

    def file(self, name: str, size: int | None, digest: str) -> None:
        """Check size and SHA-256 of a file, unless it has a fault already."""
        if name in self.faults:
            return
        path = self._folder / name
        if not path.is_file():
            self.faults[name] = Missing(name)
        elif size is not None and path.stat().st_size < size:
            self.faults[name] = Truncated(path)
        elif sha256_of(path, self._told) != digest:
            self.faults[name] = Altered(name, "its SHA-256 does not match")


def _expected(folder: Path) -> dict[str, tuple[int | None, str]]:
    """Return name → size in bytes, where known, and SHA-256; the manifest takes precedence over SHA256SUMS."""
    named: dict[str, tuple[int | None, str]] = {name: (None, digest) for name, digest in sums(folder).items()}
    path = folder / MANIFEST_NAME
    if path.is_file():
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError:
            raise Altered(path, "it is not an artifact manifest") from None
        named |= {file.path: (file.bytes, file.sha256) for file in manifest.files}
    for name in named:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise Altered(folder, f"it names {name!r}, which is outside the folder")
    return named
