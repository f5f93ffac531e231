"""Names of zero-shot tasks. Only the worker's evaluation harness knows which exist: built-in and the operator's."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()-]{0,127}")
"""Pattern of all the harness's tasks, groups and tags. Excludes paths, which the harness would read as config files."""


def _is_plain(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith((".yaml", ".yml")):
        raise ValueError("must be the name of a task of lm-evaluation-harness, such as arc_easy; no path and no file")
    return name


def _once_each(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names a task twice; name each once")
    return names


TaskName = Annotated[
    str,
    Field(max_length=128, json_schema_extra={"pattern": rf"^(?!.*\.ya?ml$){_NAME.pattern}$"}),
    AfterValidator(_is_plain),
]
TaskNames = Annotated[
    list[TaskName],
    Field(max_length=64, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_once_each),
]
