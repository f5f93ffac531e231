"""Escaping of untrusted text in Markdown."""

import re
from typing import Final

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")


def plain(text: str) -> str:
    """Return the text on one line with all markup escaped, so that Markdown shows it unchanged."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
