"""Flaws of texts that are not JSON, in words of ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.json_flaws import json_flaw


def flaw_of(text: str | bytes) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return json_flaw(error)
    raise AssertionError(f"{text[:20]!r} is JSON")


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "a value is expected at line 1, column 1"),
        ('{"a": 1\n"b": 2}', "a comma or the end of the list or object is expected at line 2, column 1"),
        ("{a: 1}", "a name in double quotes is expected at line 1, column 2"),
        ('{"a" 1}', "a colon is expected at line 1, column 6"),
        ('{"a": 1} }', "more follows the end of the value at line 1, column 10"),
        ('["a]', "the string that begins here has no closing quote at line 1, column 2"),
        ('["a\n"]', "a string has a control character, which must be escaped at line 1, column 4"),
        (r'["\x"]', "a string has an unknown escape at line 1, column 3"),
        (b'["\xff"]', "it is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "a number has too many digits"),
    ],
)
def test_the_flaw_and_its_place_are_named(text: str | bytes, flaw: str) -> None:
    assert flaw_of(text) == flaw


@given(st.text('{}[]":,\\ \n1aeE.-', max_size=20))
def test_no_text_is_refused_with_the_parsers_words(text: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        assert json_flaw(error).partition(" at line")[0] not in str(error)  # noqa: PT017
