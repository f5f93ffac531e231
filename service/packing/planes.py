"""Chunks of packed files: the bit mask and byte planes of a run of elements, each compressed by zstd where that pays.

Elements are rotated left by one bit before they are split into bytes, so that the first plane of a bfloat16 or float32
value is its exponent, which compresses well, and the sign joins the mantissa, which does not.
"""

import struct
from typing import Final

import numpy as np
import zstandard

from service.packing import bitmask
from service.packing.bitmask import Buffer, Elements

_LEAST_SAVING: Final = 32
"""A part is stored compressed if that saves at least 1/32 of it."""
_PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST, window_log=18, hash_log=6, chain_log=6, search_log=1, min_match=7, target_length=0
)
"""Parameters that leave nearly everything to zstd's entropy coder: exponents have no matches, and the short ones that level 1
finds make the frames larger and slower to decompress."""
_MAX_WINDOW: Final = 1 << 20


class InvalidChunk(Exception):
    """Chunk whose parts do not have the sizes that they must have, or are not valid frames of zstd."""


class Layout:
    """Sizes of the parts of one chunk: `count` elements of `width` bytes, with or without a bit mask."""

    def __init__(self, count: int, width: int, *, is_masked: bool) -> None:
        self._count, self._width, self._mask = count, width, bitmask.size(count) if is_masked else 0
        self._sizes = struct.Struct(f"<{1 + width}I")
        self.head_bytes = self._sizes.size
        """Size of the chunk's head: the stored sizes of the mask and of each plane."""

    def encode(self, chunk: Elements) -> bytes:
        """Return the chunk's head and parts."""
        kept = chunk != 0
        values = np.compress(kept, chunk) if self._mask else chunk
        rotated = values << 1 | values >> (8 * self._width - 1)
        planes = [(rotated >> 8 * place).astype(np.uint8).tobytes() for place in reversed(range(self._width))]
        parts = [bitmask.pack_bits(kept) if self._mask else b"", *planes]
        stored = [_compressed(part) for part in parts]
        return b"".join((self._sizes.pack(*map(len, stored)), *stored))

    def stored_sizes(self, head: Buffer) -> tuple[int, ...]:
        """Return the stored sizes of the parts. Raises InvalidChunk: a part is larger than it can be."""
        mask, *planes = sizes = self._sizes.unpack(head)
        if mask > self._mask or max(planes) > self._count:
            raise InvalidChunk
        return sizes

    def decode(self, sizes: tuple[int, ...], content: Buffer) -> tuple[Elements, int]:
        """Return the elements, and the number of stored values. Raises InvalidChunk."""
        ends, parts = np.cumsum(sizes).tolist(), memoryview(content)
        mask, *planes = (parts[end - size : end] for size, end in zip(sizes, ends, strict=True))
        if not self._mask:
            return self._joined(planes, self._count), self._count
        positions = bitmask.positions(_decompressed(mask, self._mask), self._count)
        values = self._joined(planes, positions.size)
        return bitmask.join(positions, values, self._count), positions.size

    def _joined(self, planes: list[memoryview], count: int) -> Elements:
        first, *others = (np.frombuffer(_decompressed(plane, count), dtype=np.uint8) for plane in planes)
        rotated: Elements = first.astype(f"<u{self._width}")
        for plane in others:
            rotated <<= 8
            rotated |= plane
        values: Elements = np.right_shift(rotated, 1)
        rotated <<= 8 * self._width - 1
        values |= rotated
        return values


def is_worth_masking(count: int, zeros: int, width: int) -> bool:
    """Check that a bit mask of `count` elements is smaller than the zeros that it replaces."""
    return bitmask.size(count) < zeros * width


def _compressed(part: bytes) -> bytes:
    frame = zstandard.ZstdCompressor(compression_params=_PARAMETERS).compress(part)
    return frame if len(frame) <= len(part) - -(-len(part) // _LEAST_SAVING) else part


def _decompressed(part: memoryview, size: int) -> Buffer:
    """Return the part, which has `size` bytes uncompressed; never decompress more. Raises InvalidChunk."""
    if len(part) == size:
        return part
    try:
        if len(part) > size or zstandard.frame_content_size(part) != size:
            raise InvalidChunk
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(part, allow_extra_data=False)
    except zstandard.ZstdError:
        raise InvalidChunk from None
