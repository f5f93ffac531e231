"""Pydantic models of a container's header: the safetensors file that it restores, and the encoding of each tensor."""

from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.kit.safetensors_headers import WIDTHS

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Place = Annotated[int, Field(ge=0)]
Section = tuple[Place, Place]
"""Byte range of the container, `start` to `end`."""


class _Part(BaseModel):
    """Base of the header's parts; unknown fields are ignored, because incompatible changes raise the format version."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class FileFacts(_Part):
    """Name, size and checksum of a safetensors file."""

    name: str = Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*\.safetensors$")
    bytes: Place
    sha256: Sha256


class Head(_Part):
    """Section with the head of the safetensors file: its length field and JSON header."""

    section: Section
    sha256: Sha256


class Origin(_Part):
    """The base model that a mask was made from."""

    source: str
    id: str
    revision: str | None

    def __str__(self) -> str:
        return f"{self.id} at revision {self.revision}" if self.revision else self.id


class Base(Origin):
    """The base model's shard that a mask applies to."""

    shard: FileFacts


class _Tensor(_Part):
    name: str
    dtype: str
    shape: list[Place]
    sha256: Sha256


class Plain(_Tensor):
    """Tensor stored as its raw bytes."""

    encoding: Literal["plain"] = "plain"
    data: Section


class Planes(_Tensor):
    """Tensor stored in chunks of byte planes; with bitmasks if it has fewer values than elements."""

    encoding: Literal["planes"] = "planes"
    data: Section
    data_sha256: Sha256
    values: Place
    """Number of stored elements."""

    @property
    def is_masked(self) -> bool:
        """Whether the chunks have bitmasks."""
        return self.values < prod(self.shape)


class Sparse(_Tensor):
    """Tensor stored as a bitmask and its non-zero values; version 1 only."""

    encoding: Literal["sparse"] = "sparse"
    values: Section
    bits: Section


class Masked(_Tensor):
    """Tensor stored as a bitmask over the base model's tensor."""

    encoding: Literal["masked"] = "masked"
    bits: Section
    bits_sha256: Sha256
    base_sha256: Sha256


class Unchanged(_Tensor):
    """Tensor equal to the base model's; nothing is stored."""

    encoding: Literal["unchanged"] = "unchanged"


Entry = Plain | Planes | Sparse | Masked | Unchanged


class Header(_Part):
    """Header of a container."""

    kind: Literal["packed", "mask"]
    file: FileFacts
    head: Head
    base: Base | None = None
    tensors: tuple[Annotated[Entry, Field(discriminator="encoding")], ...]


def fits(entry: Entry, size: int) -> bool:
    """Check that the sections have the sizes that a tensor of `size` bytes has in this encoding."""
    if isinstance(entry, Unchanged):
        return True
    if isinstance(entry, Plain):
        return _length(entry.data) == size
    if entry.dtype not in WIDTHS:
        return False
    if isinstance(entry, Planes):
        return entry.values <= prod(entry.shape) and _length(entry.data) >= 0
    if _length(entry.bits) != -(-prod(entry.shape) // 8):
        return False
    return isinstance(entry, Masked) or (0 <= _length(entry.values) <= size and _length(entry.values) % WIDTHS[entry.dtype] == 0)


def _length(section: Section) -> int:
    return section[1] - section[0]
