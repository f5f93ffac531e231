"""Lines of CSV that no spreadsheet evaluates as formulas."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

_FORMULA: Final = re.compile(
    "(?:^|(?<=[;\t\r\n]))(?=[ '\"]{0,8}[=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}\t\r])"
)
"""Beginnings of formulas, also behind separators of other locales, which split a value into cells."""


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Return the rows as CSV, with text escaped that spreadsheets would evaluate as a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(value) for value in row] for row in rows])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    return _FORMULA.sub("'", value) if isinstance(value, str) else value
