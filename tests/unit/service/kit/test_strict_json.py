"""What is JSON here, against the letter of RFC 8259 and the standard library's parser."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, MalformedBody
from service.kit.strict_json import check, parse, storable

plain_text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | plain_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_text, inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_any_plain_value_passes_unchanged(value: Any) -> None:
    parsed = parse(json.dumps(value).encode())
    check(parsed)
    assert parsed == value


@given(st.binary(max_size=40))
def test_any_bytes_are_either_json_or_refused(body: bytes) -> None:
    try:
        parsed = parse(body)
    except MalformedBody:
        return
    json.dumps(parsed, allow_nan=False)


@pytest.mark.parametrize(
    "body", [b'{"a":1,"a":1}', b'[{"a":{"b":1,"b":2}}]', b"[NaN]", b"[-Infinity]", b"[1,]", b"{'a':1}", b"\xff", b" "]
)
def test_nonstandard_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse(body)


def test_a_number_has_a_bounded_number_of_digits() -> None:
    assert parse(b"9" * 4000) == int("9" * 4000)
    with pytest.raises(MalformedBody, match="a number has more than 4000 digits"):
        parse(b"9" * 4001)


def test_refused_text_becomes_storable() -> None:
    assert storable({"/a\0": ["x\ud800y", 1, None]}) == {"/a\ufffd": ["x\ufffdy", 1, None]}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded_without_exhausting_the_stack(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    check(parse((opening * 32 + "1" + closing * 32).encode()))
    for depth in (33, 900, 20_000):
        with pytest.raises(MalformedBody):
            check(parse((opening * depth + "1" + closing * depth).encode()))


@pytest.mark.parametrize(
    ("value", "pointer"),
    [({"a": ["x", "y\0"]}, "/a/1"), ({"a": {"b\0": 1}}, "/a/b\0"), ("\ud800", ""), ([{"k": "a\udfff"}], "/0/k")],
)
def test_text_that_cannot_be_stored_gets_a_pointer(value: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(value)
    assert caught.value.errors is not None
    assert caught.value.errors[0]["pointer"] == pointer
