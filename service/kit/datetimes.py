"""Date-times in requests."""

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator


def _is_written_out(given: object) -> object:
    """Refuse numbers, which pydantic would accept as Unix time although the OpenAPI document does not declare it."""
    if not isinstance(given, str) or "-" not in given[1:]:
        raise ValueError("must be a date-time with time zone, such as 2026-01-31T12:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]
