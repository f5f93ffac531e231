"""Texts of strangers in Markdown."""

import re
from typing import Final

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")


def plain(text: str) -> str:
    """Text that Markdown shows as it is: one line, every sign of markup escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
