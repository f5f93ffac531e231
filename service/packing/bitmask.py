"""Bitmask of a tensor's non-zero elements and their values; all NumPy operations of the format are here.

An element is zero if all its bits are zero: -0.0 and NaN are not, so that the round trip is bit-exact.
Element i is bit i % 8 of byte i // 8, counted from the least significant bit.
"""

import numpy as np
from numpy.typing import NDArray

Elements = NDArray[np.unsignedinteger]
Kept = NDArray[np.bool_]
Buffer = bytes | bytearray | memoryview


def elements(content: Buffer, width: int) -> Elements:
    """View the bytes as unsigned integers of `width` bytes, with the same bits."""
    found: Elements = np.frombuffer(content, dtype=f"<u{width}")
    return found


def size(count: int) -> int:
    """Return the bytes that a bitmask of `count` elements takes."""
    return -(-count // 8)


def count(chunk: Elements | Kept) -> int:
    """Count the non-zero elements."""
    return int(np.count_nonzero(chunk))


def split(chunk: Elements) -> tuple[bytes, bytes]:
    """Return the bitmask of a chunk and the bytes of its non-zero elements."""
    kept = chunk != 0
    return np.packbits(kept, bitorder="little").tobytes(), np.compress(kept, chunk).tobytes()


def unpack_bits(bits: Buffer, count: int) -> Kept:
    """Return the bitmask of `count` elements as booleans."""
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count, bitorder="little").view(np.bool_)


def join(kept: Kept, values: Elements) -> Elements:
    """Scatter the values, in order, to the kept elements; all others are zero. There is one value per kept element."""
    chunk = np.zeros(kept.size, dtype=values.dtype)
    chunk[np.flatnonzero(kept)] = values  # indexing by integers is several times as fast as by mask
    return chunk


def select(kept: Kept, base: Elements) -> Elements:
    """Return the base with all elements set to zero that are not kept."""
    return base * kept


def equal(one: Elements, other: Elements) -> bool:
    """Compare bit for bit."""
    return bool(np.array_equal(one, other))
