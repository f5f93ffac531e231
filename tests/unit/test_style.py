"""The language of sources, pages and documentation: the field's terms, in plain English.

A line that uses one of these words rightly carries `style: allow` in a comment.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("service", "worker", "dsnot", "migrations", "docs", "benchmarks")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
SUFFIXES = {".py", ".md", ".html", ".js", ".css"}
BANNED = re.compile(
    r"\b(tell|tells|told|telling|anew|let(ting|s)? go|mend(s|ed|ing)?|dear(ly|er)?|for ever|so many|lies|whoever|nobody|somebody"
    r"|beside|(is|are|was|were) away|(go|goes|going|went|gone) on|ask(s|ed|ing)? for|the truth)\b",
    re.IGNORECASE,
)
ALLOWED = "style: allow"
WRONG_OPENERS = {"What", "Who", "Whoever", "Those", "Of", "Meanwhile", "As"}


def files() -> Iterator[Path]:
    yield from (ROOT / page for page in PAGES)
    for place in PLACES:
        found = sorted((ROOT / place).rglob("*"))
        yield from (path for path in found if path.suffix in SUFFIXES and "help_site" not in path.parts)


def banned_words(path: Path) -> list[str]:
    lines = enumerate(path.read_text().splitlines(), start=1)
    return [f"{number}: {match[0]}" for number, line in lines if ALLOWED not in line for match in BANNED.finditer(line)]


def wrong_openers(path: Path) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (
        (getattr(node, "lineno", 1), ast.get_docstring(node) or "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented)
    )
    return [f"{line}: {text.split()[0]} …" for line, text in texts if text and text.split()[0] in WRONG_OPENERS]


@pytest.mark.parametrize("text", ["Nobody waits.", "the store is away", "a job goes on", "asked for twice"])
def test_a_banned_word_is_found(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"A page.\n{text}\n{text} <!-- {ALLOWED} -->\n")
    assert [found.split(":")[0] for found in banned_words(page)] == ["2"]


def test_no_page_or_source_contains_a_banned_word() -> None:
    assert {str(path.relative_to(ROOT)): found for path in files() if (found := banned_words(path))} == {}


def test_docstrings_begin_with_a_noun_phrase_or_a_verb() -> None:
    sources = (path for path in files() if path.suffix == ".py")
    assert {str(path.relative_to(ROOT)): found for path in sources if (found := wrong_openers(path))} == {}
