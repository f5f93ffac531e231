"""Decoder of tensors that are stored in chunks of a bit mask and byte planes; docs/reference/packed-format.md specifies them."""

import struct
from collections.abc import Callable, Iterator

import torch
import zstandard
from torch import Tensor

from dsnot_runtime.portable import PADDING

CHUNK = 1 << 18
"""Elements per chunk."""
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_MAX_WINDOW = 1 << 20

Take = Callable[[int], bytearray]
"""Reader of the next bytes of a section."""


class Invalid(Exception):
    """Chunks whose parts have other sizes than they must have, or are no frames of zstd."""


def dense(take: Take, count: int, dtype: torch.dtype, elements: int) -> Tensor:
    """Return the elements of a tensor, `count` of which are stored. Raises Invalid."""
    found = torch.zeros(elements, dtype=_INTEGERS[dtype.itemsize])
    for first, mask, values in _chunks(take, elements, count, dtype.itemsize):
        chunk = found[first : first + CHUNK]
        chunk.masked_scatter_(booleans(mask, len(chunk)), values) if len(mask) else chunk.copy_(values)
    return found.view(dtype)


def matrix(take: Take, count: int, dtype: torch.dtype, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return bits, values and starts of a sparse matrix whose width is a multiple of 64. Raises Invalid."""
    bits, place = torch.empty(rows * columns // 8, dtype=torch.uint8), 0
    kept = torch.zeros(count + PADDING, dtype=_INTEGERS[dtype.itemsize])
    for first, mask, values in _chunks(take, rows * columns, count, dtype.itemsize):
        bits[first // 8 : (first + CHUNK) // 8] = mask
        kept[place : place + len(values)] = values
        place += len(values)
    words = bits.view(torch.int64).view(rows, columns // 64)
    starts = torch.zeros(rows + 1, dtype=torch.int64)
    torch.cumsum(_ones(words).sum(1), 0, out=starts[1:])
    return words, kept.view(dtype), starts


def booleans(bits: Tensor, count: int) -> Tensor:
    """Return the first bits of bytes, counted from the least significant one."""
    return (bits[:, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten()[:count].bool()


def as_tensor(content: bytearray) -> Tensor:
    """View bytes as uint8."""
    return torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _chunks(take: Take, elements: int, count: int, width: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the index of each chunk's first element, its mask, empty if it has none, and its values as integers."""
    left = count
    for first in range(0, elements, CHUNK):
        kept = min(CHUNK, elements - first)
        stored = struct.unpack(f"<{1 + width}I", take(4 * (1 + width)))
        mask_bytes = -(-kept // 8) if count < elements else 0
        if stored[0] > mask_bytes or max(stored[1:]) > kept:
            raise Invalid
        parts = [take(size) for size in stored]
        mask = _restored(parts[0], mask_bytes)
        if mask_bytes:
            kept = int.from_bytes(mask, "little").bit_count()
        if (left := left - kept) < 0:
            raise Invalid
        yield first, as_tensor(mask), _joined([_restored(part, kept) for part in parts[1:]], width)
    if left:
        raise Invalid


def _restored(part: bytearray, size: int) -> bytearray:
    """Return a part of a chunk, which has `size` bytes uncompressed; never decompress more."""
    if len(part) == size:
        return part
    try:
        if len(part) > size or zstandard.frame_content_size(part) != size:
            raise Invalid
        return bytearray(zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(part, allow_extra_data=False))
    except zstandard.ZstdError:
        raise Invalid from None


def _joined(planes: list[bytearray], width: int) -> Tensor:
    """Join planes of bytes, from the most significant one, and rotate the integers right by one bit."""
    rotated = as_tensor(planes[0]).to(_INTEGERS[width])
    for plane in planes[1:]:
        rotated = rotated << 8 | as_tensor(plane)
    return rotated >> 1 & (1 << 8 * width - 1) - 1 | rotated << 8 * width - 1


def _ones(words: Tensor) -> Tensor:
    """Count the ones of each 64-bit word."""
    pairs = words - (words >> 1 & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333)
    return (nibbles + (nibbles >> 4) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56
