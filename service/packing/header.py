"""What a container's header says, as pydantic models: the file that it gives back, and how each tensor is stored."""

from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.kit.safetensors_headers import WIDTHS

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Place = Annotated[int, Field(ge=0)]
Section = tuple[Place, Place]
"""Bytes `start` to `end` of the container."""


class _Part(BaseModel):
    """What is not known is passed over: whatever readers have to know raises the version."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class FileFacts(_Part):
    name: str = Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*\.safetensors$")
    bytes: Place
    sha256: Sha256


class Head(_Part):
    section: Section
    sha256: Sha256


class Origin(_Part):
    """The model whose weights a mask was made of."""

    source: str
    id: str
    revision: str | None

    def __str__(self) -> str:
        return f"{self.id} at revision {self.revision}" if self.revision else self.id


class Base(Origin):
    """And the file of it that a mask is about."""

    shard: FileFacts


class _Tensor(_Part):
    name: str
    dtype: str
    shape: list[Place]
    sha256: Sha256


class Plain(_Tensor):
    encoding: Literal["plain"] = "plain"
    data: Section


class Sparse(_Tensor):
    encoding: Literal["sparse"] = "sparse"
    values: Section
    bits: Section


class Masked(_Tensor):
    encoding: Literal["masked"] = "masked"
    bits: Section
    bits_sha256: Sha256
    base_sha256: Sha256


class Unchanged(_Tensor):
    encoding: Literal["unchanged"] = "unchanged"


Entry = Plain | Sparse | Masked | Unchanged


class Header(_Part):
    kind: Literal["packed", "mask"]
    file: FileFacts
    head: Head
    base: Base | None = None
    tensors: tuple[Annotated[Entry, Field(discriminator="encoding")], ...]


def fits(entry: Entry, size: int) -> bool:
    """Whether the sections have the bytes that `size` bytes of a tensor take in this encoding."""
    if isinstance(entry, Unchanged):
        return True
    if isinstance(entry, Plain):
        return _length(entry.data) == size
    if entry.dtype not in WIDTHS or _length(entry.bits) != -(-prod(entry.shape) // 8):
        return False
    return isinstance(entry, Masked) or (0 <= _length(entry.values) <= size and _length(entry.values) % WIDTHS[entry.dtype] == 0)


def _length(section: Section) -> int:
    return section[1] - section[0]
