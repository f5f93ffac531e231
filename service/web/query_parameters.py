"""How values in a query are written, and the parameters of lists: how many items a page has, and where it begins."""

import re
from typing import Annotated, Final

from annotated_types import Interval
from fastapi import Query
from pydantic import BeforeValidator

_DIGITS: Final = re.compile(r"-?[0-9]+")
_FLAGS: Final = {"true", "false", "1", "0"}


def _is_written_in_digits(given: object) -> object:
    """pydantic takes `+1.0`, too, and the OpenAPI document says `integer`."""
    if isinstance(given, str) and not _DIGITS.fullmatch(given):
        raise ValueError("must be a whole number in digits, such as 20")
    return given


def _is_true_or_false(given: object) -> object:
    """pydantic takes `on` and `yes`, too, and the OpenAPI document says `boolean`."""
    if isinstance(given, str) and given not in _FLAGS:
        raise ValueError("must be true or false")
    return given


IN_DIGITS: Final = BeforeValidator(_is_written_in_digits)
"""Stands behind the bounds of a whole number: before them, it would hide them from the OpenAPI document."""
TRUE_OR_FALSE: Final = BeforeValidator(_is_true_or_false)

PageLimit = Annotated[int, Interval(ge=1, le=100), IN_DIGITS, Query()]
LongPageLimit = Annotated[int, Interval(ge=1, le=1000), IN_DIGITS, Query()]
"""Of lists whose items are short."""

PAGE_BEFORE: Final = "`next_cursor` of the page before"
PageCursor = Annotated[str | None, Query(max_length=256, description=PAGE_BEFORE)]
