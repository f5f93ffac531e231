"""Mermaid diagrams, rendered at build time as inline SVG images, so that pages need no script and no other host."""

import base64
import html
import re
from typing import Any

import mmdr

_TITLE = re.compile(r"^\s*accTitle:\s*(.+)$", re.MULTILINE)
_SIZE = re.compile(r"(font-size:\s*)(\d+)(px)")
_NARROWER = 0.87
"""Font scale: boxes are measured for Arial, and the fallback font DejaVu Sans is wider by this factor."""


def draw(source: str, _language: str, _css_class: str, _options: dict[str, Any], _md: Any, **_more: Any) -> str:
    """Return an `<img>` for a Mermaid block; its `accTitle` is the alternative text."""
    title = _TITLE.search(source)
    if title is None:
        raise ValueError("a diagram has no accTitle, which screen readers need; add one below its first line")
    image = base64.b64encode(_svg(source).encode()).decode()
    return f'<p><img class="diagram" alt="{html.escape(title[1])}" src="data:image/svg+xml;base64,{image}"></p>'


def _svg(source: str) -> str:
    """Return the SVG in its natural size, with text that fits its boxes in either font."""
    drawn: str = mmdr.render(source).svg()
    width = re.findall(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+)', drawn)[0]
    drawn = drawn.replace('width="100%"', f'width="{width}"', 1)
    return _SIZE.sub(lambda size: f"{size[1]}{int(size[2]) * _NARROWER:.1f}{size[3]}", drawn)
