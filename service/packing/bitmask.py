"""Bitmask of a tensor's non-zero elements.

An element is zero if all its bits are zero: -0.0 and NaN are not, so that the round trip is bit-exact.
Element i is bit i % 8 of byte i // 8, counted from the least significant bit.
"""

import numpy as np
from numpy.typing import NDArray

Elements = NDArray[np.unsignedinteger]
Kept = NDArray[np.bool_]
Positions = NDArray[np.intp]
Buffer = bytes | bytearray | memoryview


def elements(content: Buffer, width: int) -> Elements:
    """View the bytes as unsigned integers of `width` bytes, with the same bits."""
    found: Elements = np.frombuffer(content, dtype=f"<u{width}")
    return found


def size(count: int) -> int:
    """Return the bytes that a bitmask of `count` elements takes."""
    return -(-count // 8)


def count(chunk: Elements) -> int:
    """Count the non-zero elements."""
    return int(np.count_nonzero(chunk))


def pack_bits(kept: Kept) -> bytes:
    """Return the booleans as a bitmask."""
    return np.packbits(kept, bitorder="little").tobytes()


def unpack_bits(bits: Buffer, count: int) -> Kept:
    """Return the bitmask of `count` elements as booleans."""
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count, bitorder="little").view(np.bool_)


def positions(bits: Buffer, count: int) -> Positions:
    """Return the indices of the kept elements; indexing by integers is several times as fast as by a mask."""
    return np.flatnonzero(unpack_bits(bits, count))


def join(positions: Positions, values: Elements, count: int) -> Elements:
    """Scatter the values, one per position, to a chunk of `count` elements; all others are zero."""
    chunk = np.zeros(count, dtype=values.dtype)
    chunk[positions] = values
    return chunk


def as_bytes(chunk: Elements) -> memoryview:
    """View the elements as bytes."""
    return chunk.view(np.uint8).data


def select(kept: Kept, base: Elements) -> Elements:
    """Return the base with all elements set to zero that are not kept."""
    return base * kept


def equal(one: Elements, other: Elements) -> bool:
    """Compare bit for bit."""
    return bool(np.array_equal(one, other))
