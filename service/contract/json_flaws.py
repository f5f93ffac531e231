"""Flaws of texts that are not JSON, and where they are, in words for the author."""

from json import JSONDecodeError
from typing import Final

_FLAWS: Final = {
    "Expecting property name": "a name in double quotes is expected",
    "Expecting ':'": "a colon is expected",
    "Expecting ','": "a comma or the end of the list or object is expected",
    "Expecting value": "a value is expected",
    "Illegal trailing comma": "nothing follows the comma",
    "Extra data": "more follows the end of the value",
    "Unterminated string": "the string that begins here has no closing quote",
    "Invalid control character": "a string has a control character, which must be escaped",
    "Invalid \\": "a string has an unknown escape",
}
"""By the beginning of the parser's message."""


def json_flaw(error: ValueError | RecursionError) -> str:
    """Return the flaw for which a parser of JSON raised an error; a ValueError of our own has its words already."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if not isinstance(error, JSONDecodeError):
        return "a number has too many digits" if str(error).startswith("Exceeds the limit") else str(error)
    flaw = next((words for begin, words in _FLAWS.items() if error.msg.startswith(begin)), "a character is not allowed here")
    return f"{flaw} at line {error.lineno}, column {error.colno}"
