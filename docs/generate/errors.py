"""Errors page, from the problem classes of the service and the failure codes."""

import service.main  # noqa: F401  # defines every problem
from service.dashboard.error_page import error_entries

_HEAD = """\
# Errors

Generated from the service's code; a running service shows the same at `/errors`, without a key.

An answer that is no success is a problem document (RFC 9457).
Its `type` is a URI reference of a section here, such as `/errors#not-found`, behind the path prefix of a proxy if there is one.
Its `code`, such as `not-found`, is stable: programs compare `code`.
Earlier services have no `code`, and their `type` is `urn:dsnot:problem:` and the code.
The last part of `type`, behind `#` or `:`, is the code in both.
`error.code` of a failed job names a section as well.
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD]
    for entry in error_entries():
        facts = [*entry.meanings, ("Usual cause", entry.explanation.cause), ("Remedy", entry.explanation.remedy)]
        parts.append(f"## `{entry.code}` {{: #{entry.code} }}\n")
        parts += [f"- **{name}:** {text}" for name, text in facts]
        parts.append("")
    return "\n".join(parts)
