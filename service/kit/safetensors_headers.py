"""Parser of the headers of safetensors files, which are untrusted: every value is validated.

A safetensors file is 8 bytes of length (little endian), a JSON header of that length, and the tensors.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

from service.contract import bounded_json
from service.contract.checkpoints import MAX_AXES, MAX_NAME

LENGTH_BYTES: Final = 8
MAX_HEADER_BYTES: Final = 100_000_000
"""The limit of the format's reference implementation."""
_MAX_NUMBER: Final = 2**63 - 1
WIDTHS: Final = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Bytes per element of the data types that packed files store by element; all others are handled as bytes."""
BITS: Final = {name: 8 * width for name, width in WIDTHS.items()} | {
    "C64": 64,
    **dict.fromkeys(("F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits per element of all data types of the format."""


class InvalidHeader(ValueError):
    """Header that violates the safetensors format."""


@dataclass(frozen=True)
class TensorEntry:
    """Entry of one tensor; `start` and `end` are byte offsets from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def header_length(first: bytes, file_bytes: int) -> int:
    """Return the length of the JSON header in bytes, given the first 8 bytes of the file. Raises InvalidHeader."""
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if not 2 <= length <= min(file_bytes - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise InvalidHeader("its header length is invalid or larger than the file")
    return length


def parse_header(content: bytes) -> dict[str, TensorEntry]:
    """Return the tensors of a JSON header by name. Raises InvalidHeader."""
    try:
        header = bounded_json.loads(content)
    except bounded_json.InvalidJson as error:
        raise InvalidHeader(f"its header {error}") from None
    if not isinstance(header, dict):
        raise InvalidHeader("its header is not a JSON object")
    header.pop("__metadata__", None)
    return {name: _entry(name, entry) for name, entry in header.items()}


def _entry(name: str, entry: Any) -> TensorEntry:
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidHeader(f"its header has a name that is not printable or longer than {MAX_NAME} characters: {name[:80]!r}")
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (ValueError, TypeError, KeyError):
        raise InvalidHeader(f"its header has an invalid entry {name}") from None
    is_sound = isinstance(dtype, str) and isinstance(shape, list) and len(shape) <= MAX_AXES
    if not is_sound or not all(type(number) is int and 0 <= number <= _MAX_NUMBER for number in (*shape, start, end)):
        raise InvalidHeader(f"its header gives {name} an invalid data type, shape or position")
    if end < start or (dtype in BITS and 8 * (end - start) != prod(shape) * BITS[dtype]):
        raise InvalidHeader(f"its header gives {name} a size that does not match its shape")
    return TensorEntry(dtype, tuple(shape), start, end)
