"""Integrity and durability of files: SHA-256 and fsync."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


def sha256_of(path: Path, advance: Callable[[int], object] = lambda _: None) -> str:
    """Return the SHA-256 of a file in hexadecimal; `advance` gets the size of each chunk that has been read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def is_intact(path: Path, *, size: int, sha256: str) -> bool:
    """Return whether the file exists with this size and SHA-256."""
    return path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256


def fsync(*paths: Path) -> None:
    """Flush files and directories to the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
