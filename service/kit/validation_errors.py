"""Validation errors of pydantic as JSON pointers and sentences for the caller."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from service.contract.parts import FieldError
from service.kit.json_pointer import pointer, within

_MAX_ERRORS: Final = 50
_PLAINER: Final = {
    "extra_forbidden": "unknown field; check its spelling or omit it",
    "missing": "is required",
    "too_short": "give at least {min_length}",
}
"""Replacements for pydantic's messages that do not say what to do, by error type."""


def errors_of(error: ValidationError, body: object) -> list[dict[str, str]]:
    """Return the errors of a body that was validated outside a request."""
    return field_errors(({**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()), body)


def field_errors(entries: Iterable[Any], body: object) -> list[dict[str, str]]:
    """Return pointer and detail of the first errors, as FastAPI collects them: `loc` begins with the part of the request."""
    return [{"pointer": _pointer(entry, body), "detail": _detail(entry)} for entry in islice(entries, _MAX_ERRORS)]


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


def _detail(entry: dict[str, Any]) -> str:
    context = entry.get("ctx", {})
    if isinstance(context.get("error"), ValueError):
        return str(context["error"])
    plainer = _PLAINER.get(entry["type"])
    return plainer.format_map(context) if plainer else str(entry["msg"])
