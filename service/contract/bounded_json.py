"""Parser of JSON files of models, which are untrusted: bounds on values, digits and nesting keep time and memory small."""

import json
from collections.abc import Iterator
from typing import Any, Final

MAX_VALUES: Final = 2_000_000
"""Maximum number of values in a file; a tensor has about eight in a header, so that a file can have 250,000 tensors."""
MAX_DIGITS: Final = 64
"""Maximum number of digits of an integer; tokenizer configs have integers of 31 digits."""


class InvalidJson(ValueError):
    """Content that is no JSON or exceeds a bound; the message is a predicate, such as "is not valid JSON"."""


def loads(content: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Return the JSON value of a file's content. Raise InvalidJson."""
    if sum(map(content.count, (b",", b"[", b"{"))) > max_values:  # each value but the first follows one of these
        raise InvalidJson(f"has more than {max_values:,} values")
    try:
        return json.loads(content, parse_int=_integer)
    except InvalidJson:
        raise
    except ValueError:
        raise InvalidJson("is not valid JSON") from None
    except RecursionError:
        raise InvalidJson("is nested too deeply") from None


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidJson(f"has an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON objects, without recursion."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
