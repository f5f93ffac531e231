"""Display names of jobs, sweeps, API keys, triggers and data sets."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

MAX_NAME: Final = 128
"""Characters of a name."""
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
_INVISIBLE: Final = r"\u200b-\u200f\u2028-\u202e\u2066-\u2069"
_PATTERN: Final = re.compile(rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}{_INVISIBLE}][^{_CONTROLS}]*$")


def _is_shown(name: str) -> str:
    if re.search(f"[{_CONTROLS}]", name):
        raise ValueError("has a control character, such as a line break; remove it")
    if not _PATTERN.fullmatch(name):
        raise ValueError("is blank; give a name with a visible character")
    return name


DisplayName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"pattern": _PATTERN.pattern}),
    AfterValidator(_is_shown),
]
