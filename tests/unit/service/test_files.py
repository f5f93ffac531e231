"""Integrity and durability of files."""

import hashlib
import os
from pathlib import Path

import pytest

from service.kit import files

CONTENT = bytes(range(256)) * 10_000  # more than one chunk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def test_the_sha256_is_that_of_the_whole_file_and_every_byte_is_reported(path: Path) -> None:
    sizes: list[int] = []
    assert files.sha256_of(path, sizes.append) == hashlib.sha256(CONTENT).hexdigest()
    assert sum(sizes) == len(CONTENT)


def test_a_file_is_intact_only_with_its_size_and_its_sha256(path: Path, tmp_path: Path) -> None:
    size, sha256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
    assert files.is_intact(path, size=size, sha256=sha256)
    assert not files.is_intact(path, size=size, sha256="0" * 64)
    assert not files.is_intact(path, size=size - 1, sha256=sha256)
    assert not files.is_intact(tmp_path, size=size, sha256=sha256)


def test_files_and_directories_are_flushed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    files.fsync(path, path.parent)
    assert flushed == [path.resolve(), path.parent.resolve()]
