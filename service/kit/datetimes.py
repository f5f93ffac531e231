"""Moments as callers write them."""

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator


def _is_written_out(given: object) -> object:
    """pydantic takes a number for seconds since 1970, of which the OpenAPI document says nothing."""
    if not isinstance(given, str) or "-" not in given[1:]:
        raise ValueError("must be a moment with its time zone, such as 2026-01-31T12:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]
