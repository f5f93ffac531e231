"""Display names of jobs, sweeps, API keys, triggers and data sets."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

MAX_NAME: Final = 128
"""Characters of a name."""
_NOT_PRINTED: Final = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e"
_PATTERN: Final = re.compile(rf"^[^{_NOT_PRINTED}]*[^\s{_NOT_PRINTED}][^{_NOT_PRINTED}]*$")


def _is_shown(name: str) -> str:
    if not name.strip():
        raise ValueError("is blank; give a name with a visible character")
    if not _PATTERN.fullmatch(name):
        raise ValueError("has a character that is not printed, such as a line break; remove it")
    return name


DisplayName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"pattern": _PATTERN.pattern}),
    AfterValidator(_is_shown),
]
