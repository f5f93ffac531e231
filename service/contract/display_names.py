"""Display names of jobs, sweeps, API keys, triggers and data sets."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

MAX_NAME: Final = 128
"""Characters of a name."""
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
_PATTERN: Final = re.compile(rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$")


def _is_shown(name: str) -> str:
    if not name.strip():
        raise ValueError("is blank; give a name with a visible character")
    if not _PATTERN.fullmatch(name):
        raise ValueError("has a control character, such as a line break; remove it")
    return name


DisplayName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"pattern": _PATTERN.pattern}),
    AfterValidator(_is_shown),
]
