"""Strict JSON: RFC 8259 with unique names (RFC 7493), without text that PostgreSQL or UTF-8 cannot represent."""

import json
from math import isfinite
from typing import Any, Final, NoReturn

from service.contract.json_flaws import json_flaw
from service.contract.json_pointer import pointer
from service.errors import InvalidInput, MalformedBody

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 4000
"""Below Python's own limit."""


def parse(body: bytes) -> Any:
    """Return the JSON value of a body, strictly by RFC 8259 and with unique names (RFC 7493). Raises MalformedBody."""
    try:
        return loads(body.decode())
    except RecursionError:
        raise MalformedBody("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise MalformedBody("the body is not UTF-8") from None
    except ValueError as error:
        raise MalformedBody(f"the body is not valid JSON: {json_flaw(error)}") from None


def loads(text: str) -> Any:
    """Return the JSON value of a text, as strictly as `parse`. Raises ValueError, RecursionError."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer)


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has more than {_MAX_DIGITS} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name appears twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def storable(value: Any) -> Any:
    """Return a JSON value with U+FFFD in place of NUL and lone surrogates, for documents of our own that quote refused text."""
    if isinstance(value, str):
        return "".join("\N{REPLACEMENT CHARACTER}" if _is_not_storable(character) else character for character in value)
    if isinstance(value, dict):
        return {storable(name): storable(member) for name, member in value.items()}
    return [storable(member) for member in value] if isinstance(value, list) else value


def check(value: Any, location: tuple[object, ...] = ()) -> None:
    """Check a JSON value at any depth for NUL, lone surrogates and infinite numbers, and its nesting.

    Raises:
        InvalidInput: text or a number cannot be stored in PostgreSQL or UTF-8.
        MalformedBody: it is nested deeper than 32 levels.
    """
    if len(location) > _MAX_DEPTH:
        raise MalformedBody("the body is nested too deeply")
    if isinstance(value, str):
        _check_text(value, location)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name, (*location, name))
            check(member, (*location, name))
    elif isinstance(value, list):
        for position, member in enumerate(value):
            check(member, (*location, position))
    elif isinstance(value, float) and not isfinite(value):  # 1e999 is JSON
        raise InvalidInput("a number is too large", errors=[{"pointer": pointer(location), "detail": "is too large"}])


def _check_text(text: str, location: tuple[object, ...]) -> None:
    for character in text:
        if _is_not_storable(character):
            flaw = "NUL characters" if character == "\0" else "lone surrogates"
            raise InvalidInput(
                f"text must not hold {flaw}", errors=[{"pointer": pointer(location), "detail": f"must not hold {flaw}"}]
            )


def _is_not_storable(character: str) -> bool:
    return character == "\0" or "\ud800" <= character <= "\udfff"
