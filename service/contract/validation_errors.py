"""Validation errors of pydantic as JSON pointers and sentences for the caller."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from service.contract.json_pointer import pointer, within
from service.contract.parts import FieldError

_MAX_ERRORS: Final = 50
_OBJECT: Final = "must be an object"
_PLAINER: Final = {
    "bool_type": "must be true or false",
    "dict_type": _OBJECT,
    "bool_parsing": "must be true or false",
    "datetime_from_date_parsing": "must be a time such as 2026-11-30T12:00:00Z",
    "datetime_parsing": "must be a time such as 2026-11-30T12:00:00Z",
    "datetime_type": "must be a time such as 2026-11-30T12:00:00Z",
    "enum": "must be {expected}",
    "extra_forbidden": "unknown field; check its spelling or omit it",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "too_long": "give at most {max_length}",
    "timezone_aware": "needs a time zone, such as 2026-11-30T12:00:00Z",
    "tuple_type": "must be a list",
    "too_short": "give at least {min_length}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required",
    "uuid_parsing": "must be an id such as 0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11",
    "uuid_type": "must be an id such as 0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11",
}
"""Messages that say what is valid, by pydantic's type of error."""


def errors_of(error: ValidationError, body: object) -> list[dict[str, str]]:
    """Return the errors of a body that was validated outside a request."""
    return field_errors(({**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()), body)


def field_errors(entries: Iterable[Any], body: object) -> list[dict[str, str]]:
    """Return pointer and detail of the first errors, as FastAPI collects them: `loc` begins with the part of the request."""
    return [{"pointer": _pointer(entry, body), "detail": detail_of(entry)} for entry in islice(entries, _MAX_ERRORS)]


def _pointer(entry: dict[str, Any], body: object) -> str:
    where, *location = entry["loc"]
    if where != "body":
        broken = entry.get("ctx", {}).get("error")
        return broken.pointer.lstrip("/") if isinstance(broken, FieldError) else str(location[0] if location else where)
    steps = within(body, location, missing=entry["type"] == "missing")
    cause = entry.get("ctx", {})
    if entry["type"].startswith("union_tag"):
        steps.append(cause["discriminator"].strip("'"))
    broken = cause.get("error")
    return pointer(steps) + (broken.pointer if isinstance(broken, FieldError) else "")


def detail_of(entry: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, as a predicate, by an entry of pydantic's errors."""
    context = entry.get("ctx", {})
    if isinstance(context.get("error"), ValueError):
        return str(context["error"])
    if mistaken := _percentage(entry):
        return mistaken
    plainer = _PLAINER.get(entry["type"])
    numbers = {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in context.items()}
    return plainer.format_map(numbers) if plainer else str(entry["msg"])


def _percentage(entry: Mapping[str, Any]) -> str | None:
    """Return the message for a percentage in place of a fraction: a number from 1 to 100 where the upper bound is 1."""
    bound, value = entry.get("ctx", {}), entry.get("input")
    is_fraction = entry["type"] in ("less_than", "less_than_equal") and 1 in (bound.get("lt"), bound.get("le"))
    if not is_fraction or isinstance(value, bool) or not isinstance(value, int | float) or not 1 < value <= 100:
        return None
    likely = f"; did you mean {value / 100:g}?" if 5 <= value < 100 else ""
    return f"give a fraction between 0 and 1{likely}"
