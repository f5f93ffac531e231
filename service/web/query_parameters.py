"""Query parameters: strict integer and boolean formats, and pagination of lists."""

import re
from typing import Annotated, Final

from annotated_types import Interval
from fastapi import Query
from pydantic import BeforeValidator

_DIGITS: Final = re.compile(r"-?[0-9]+")
_FLAGS: Final = {"true", "false", "1", "0"}


def _is_written_in_digits(given: object) -> object:
    """Return the value if it is not text or all digits: pydantic also accepts `+1.0`, which OpenAPI's `integer` does not."""
    if isinstance(given, str) and not _DIGITS.fullmatch(given):
        raise ValueError("must be an integer in digits, such as 20")
    return given


def _is_true_or_false(given: object) -> object:
    """Return the value if it is not text or a boolean: pydantic also accepts `on`, which OpenAPI's `boolean` does not."""
    if isinstance(given, str) and given not in _FLAGS:
        raise ValueError("must be true or false")
    return given


IN_DIGITS: Final = BeforeValidator(_is_written_in_digits)
"""Validator to place after the bounds of an integer: before them, it would hide them from the OpenAPI document."""
TRUE_OR_FALSE: Final = BeforeValidator(_is_true_or_false)

PageLimit = Annotated[int, Interval(ge=1, le=100), IN_DIGITS, Query()]
LongPageLimit = Annotated[int, Interval(ge=1, le=1000), IN_DIGITS, Query()]
"""Page size of lists with short items."""

PAGE_BEFORE: Final = "`next_cursor` of the previous page"
PageCursor = Annotated[str | None, Query(max_length=256, description=PAGE_BEFORE)]
