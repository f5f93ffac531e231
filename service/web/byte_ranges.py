"""Validation of the `Range` header, ahead of the framework's parser."""

import re
from typing import Final

from service.errors import Problem

_RANGES: Final = re.compile(r"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*", re.ASCII)
_MAX_DIGITS: Final = 18


class RangeNotSatisfiable(Problem):
    """Problem 416: the range is outside the file."""

    status, type, title = 416, "range-not-satisfiable", "Range not satisfiable"


def usable_range(header: str | None, size: int) -> bool:
    """Return whether the range is valid; malformed ranges are ignored (RFC 9110, 14.2).

    Raises:
        RangeNotSatisfiable: well-formed, but partly outside the file.
    """
    if header is None or not _RANGES.fullmatch(header) or any(len(number) > _MAX_DIGITS for number in re.findall(r"\d+", header)):
        return False
    parts = [part.strip().split("-") for part in header.partition("=")[2].split(",")]
    if any(first and last and int(first) > int(last) for first, last in parts):
        return False
    if any(int(first) >= size if first else size == 0 or int(last) == 0 for first, last in parts):
        raise RangeNotSatisfiable(f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return True
