"""Reader of the packed files (version 2) and masks of dsnot; docs/reference/packed-format.md specifies both."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dsnot_runtime import planes
from dsnot_runtime.errors import DamagedFile, NotPacked, UnsupportedVersion

_MAGIC = b"DSNOTPAK"
_PRELUDE = struct.Struct("<8sIIQQ32s")
_VERSIONS = {"packed": 2, "mask": 1}
_MAX_HEADER_BYTES = 100_000_000
_MATRIX_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
    "BOOL": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class StoredMatrix:
    """Sparse matrix of R rows and K columns, K a multiple of 64, as stored: kept values row by row."""

    bits: Tensor
    """int64 [R, K / 64]; bit i of word w says that column 64 w + i is kept."""
    values: Tensor
    """The kept values, -0.0 among them, and 64 zeros."""
    starts: Tensor
    """int64 [R + 1]; index of each row's first value."""
    shape: tuple[int, int]


@dataclass(frozen=True)
class Mask:
    """Mask of a tensor, and what identifies the base model's tensor."""

    bits: Tensor | None
    """uint8; element i is kept if bit i mod 8 of byte i // 8 is set. None if the tensor is the base's."""
    dtype: torch.dtype
    shape: tuple[int, ...]
    base_sha256: str
    """SHA-256 of the bytes of the base model's tensor."""
    base: str
    """Id of the base model, and its revision if that is known."""

    def kept(self) -> Tensor:
        """Return the mask as booleans of the tensor's shape."""
        if self.bits is None:
            return torch.ones(self.shape, dtype=torch.bool)
        return planes.booleans(self.bits, prod(self.shape)).view(self.shape)


def read(folder: Path) -> Iterator[tuple[str, Tensor | StoredMatrix]]:
    """Yield the tensors of all packed files of a folder: files by name, tensors in file order.

    Sparse matrices of floating-point values whose width is a multiple of 64 are yielded as stored, all others dense.

    Raises:
        PackedFileError: there is no file, or one has another version or is damaged.
    """
    return _entries(folder, "packed", _Sections.packed)


def read_mask(folder: Path) -> Iterator[tuple[str, Mask]]:
    """Yield the masks of all mask files of a folder: files by name, tensors in file order.

    Raises:
        PackedFileError: there is no file, or one has another version or is damaged.
    """
    return _entries(folder, "mask", _Sections.mask)


def _entries(folder: Path, kind: str, decode: Callable[["_Sections", dict[str, Any]], Entry]) -> Iterator[tuple[str, Entry]]:
    paths = sorted(Path(folder).glob(f"*.{kind}"))
    if not paths:
        raise NotPacked(f"{folder} has no .{kind} files; name the folder that `dsnot artifacts download` created")
    for path in paths:
        with path.open("rb") as file:
            sections = _Sections(path, file, kind)
            for entry in sections.tensors:
                try:
                    found = str(entry["name"]), decode(sections, entry)
                except (KeyError, TypeError, IndexError, AttributeError, RuntimeError):
                    raise _altered(path, "its header is invalid") from None
                yield found


def _header(path: Path, file: BufferedReader, kind: str) -> tuple[dict[str, Any], int]:
    """Return the header and its offset, where the sections end."""
    size, prelude = path.stat().st_size, file.read(_PRELUDE.size)
    if not any(prelude) or (len(prelude) < _PRELUDE.size and _MAGIC.startswith(prelude[: len(_MAGIC)])):
        raise _truncated(path)
    if not prelude.startswith(_MAGIC):
        raise NotPacked(f"{path.name} is no {kind} file of dsnot; name the folder that `dsnot artifacts download` created")
    _, version, _, start, length, digest = _PRELUDE.unpack(prelude)
    if version != _VERSIONS[kind]:
        remedy = f"restore the safetensors files with `dsnot artifacts {'unpack' if kind == 'packed' else 'apply-mask'}`"
        raise UnsupportedVersion(f"{path.name} has format version {version} instead of {_VERSIONS[kind]}; {remedy}")
    if start + length > size:
        raise _truncated(path)
    if start + length < size or start < _PRELUDE.size or length > _MAX_HEADER_BYTES:
        raise _altered(path, "its first bytes do not match the file")
    file.seek(start)
    content = file.read(length)
    if hashlib.sha256(content).digest() != digest:
        raise _altered(path, "the SHA-256 of its header does not match")
    try:
        header = json.loads(content)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not {"base", "tensors"} <= header.keys() or header.get("kind") != kind:
        raise _altered(path, f"its header is not that of a {kind} file")
    return header, start


class _Sections:
    """Sections of an open file; every tensor is checked before it is returned."""

    def __init__(self, path: Path, file: BufferedReader, kind: str) -> None:
        self._path, self._file = path, file
        header, self._end = _header(path, file, kind)
        self.tensors, self._base = header["tensors"], header["base"]

    def packed(self, entry: dict[str, Any]) -> Tensor | StoredMatrix:
        """Return a tensor of a packed file."""
        if entry["encoding"] == "plain":
            return self._whole(entry["data"], entry["sha256"], entry["name"]).view(self._dtype(entry)).view(entry["shape"])
        if entry["encoding"] != "planes":
            raise _altered(self._path, f"the encoding of {entry['name']} is unknown")
        (start, end), digest, shape, dtype = entry["data"], hashlib.sha256(), tuple(entry["shape"]), self._dtype(entry)

        def take(size: int) -> bytearray:
            nonlocal start
            if size > end - start:
                raise planes.Invalid
            content = self._read(start, start := start + size)
            digest.update(content)
            return content

        try:
            found = _decoded(take, entry["values"], dtype, shape)
        except planes.Invalid:
            raise _altered(self._path, f"the chunks of {entry['name']} are invalid") from None
        if start != end or digest.hexdigest() != entry["data_sha256"]:
            raise _altered(self._path, f"the SHA-256 of {entry['name']} does not match")
        return found

    def mask(self, entry: dict[str, Any]) -> Mask:
        """Return a mask."""
        base = " at revision ".join(filter(None, (self._base["id"], self._base["revision"])))
        bits, digest = None, entry["sha256"]
        if entry["encoding"] == "masked":
            bits, digest = self._whole(entry["bits"], entry["bits_sha256"], entry["name"]), entry["base_sha256"]
        elif entry["encoding"] != "unchanged":
            raise _altered(self._path, f"the encoding of {entry['name']} is unknown")
        return Mask(bits, self._dtype(entry), tuple(entry["shape"]), digest, base)

    def _dtype(self, entry: dict[str, Any]) -> torch.dtype:
        dtype = getattr(torch, _DTYPES.get(entry["dtype"], ""), None)
        if isinstance(dtype, torch.dtype):
            return dtype
        raise UnsupportedVersion(
            f"{self._path.name} has {entry['name']} of type {entry['dtype']}, which this torch lacks; update torch"
        )

    def _whole(self, section: list[int], sha256: str, name: str) -> Tensor:
        """Return the bytes of a section."""
        content = self._read(*section)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _altered(self._path, f"the SHA-256 of {name} does not match")
        return planes.as_tensor(content)

    def _read(self, start: int, end: int) -> bytearray:
        if not _PRELUDE.size <= start <= end <= self._end:
            raise _altered(self._path, "a section is outside the file")
        content = bytearray(end - start)
        self._file.seek(start)
        if self._file.readinto(content) < len(content):
            raise _truncated(self._path)
        return content


def _decoded(take: planes.Take, count: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor | StoredMatrix:
    is_sparse = count < prod(shape) and dtype in _MATRIX_DTYPES
    if is_sparse and len(shape) == 2 and shape[1] % 64 == 0:
        return StoredMatrix(*planes.matrix(take, count, dtype, *shape), shape)
    return planes.dense(take, count, dtype, prod(shape)).view(shape)


def _truncated(path: Path) -> DamagedFile:
    return DamagedFile(f"{path.name} is truncated; run `dsnot artifacts download` again, which resumes where it stopped")


def _altered(path: Path, what: str) -> DamagedFile:
    return DamagedFile(f"{path.name} is damaged or was changed: {what}; download it again with `dsnot artifacts download`")
