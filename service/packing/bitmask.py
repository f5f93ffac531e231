"""Which elements of a tensor are zero, as bits, and the others: the one place that knows NumPy's ways with them.

An element is zero if all its bits are: -0.0 is not, nor is any NaN, so that what comes back is what went in, to the last bit.
Element i is bit i % 8 of byte i // 8, the lowest bit being 0.
"""

import numpy as np
from numpy.typing import NDArray

Elements = NDArray[np.unsignedinteger]
Kept = NDArray[np.bool_]
Buffer = bytes | bytearray | memoryview


def elements(content: Buffer, width: int) -> Elements:
    """The bytes as unsigned integers of `width` bytes, which have the same bits."""
    found: Elements = np.frombuffer(content, dtype=f"<u{width}")
    return found


def size(count: int) -> int:
    """Bytes of the bits of so many elements."""
    return -(-count // 8)


def count(chunk: Elements | Kept) -> int:
    """How many are not zero."""
    return int(np.count_nonzero(chunk))


def split(chunk: Elements) -> tuple[bytes, bytes]:
    """The bits of a chunk, and those of its elements that are not zero."""
    kept = chunk != 0
    return np.packbits(kept, bitorder="little").tobytes(), np.compress(kept, chunk).tobytes()


def unpack_bits(bits: Buffer, count: int) -> Kept:
    """Of each of `count` elements, whether its bit is 1."""
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count, bitorder="little").view(np.bool_)


def join(kept: Kept, values: Elements) -> Elements:
    """The values, in order, where elements are kept, zero elsewhere. There are as many values as elements that are kept."""
    chunk = np.zeros(kept.size, dtype=values.dtype)
    chunk[np.flatnonzero(kept)] = values  # by index is several times as fast as by mask
    return chunk


def select(kept: Kept, base: Elements) -> Elements:
    """The base's elements that are kept, zero elsewhere."""
    return base * kept


def equal(one: Elements, other: Elements) -> bool:
    """Bit for bit."""
    return bool(np.array_equal(one, other))
