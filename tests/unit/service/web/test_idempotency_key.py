"""`Idempotency-Key`, against draft-ietf-httpapi-idempotency-key-header and RFC 9651, section 3.3.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.idempotency.operations import fingerprint
from service.web.idempotency_key import key_of

PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
texts = st.text(st.sampled_from(PRINTABLE), min_size=1, max_size=255)


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(texts)
def test_every_string_of_printable_characters_is_a_key(key: str) -> None:
    assert key_of(quoted(key)) == key


@given(texts.filter(lambda key: key == key.strip() and key[0] != '"'))
def test_an_unquoted_key_equals_its_quoted_form(key: str) -> None:
    assert key_of(key) == key_of(quoted(key)) == key


@pytest.mark.parametrize("key", ["a" * 255, quoted("a" * 255), quoted('"' * 255), "?", '"\\\\"', "a,b", "urn:uuid:1"])
def test_keys_may_be_long_and_contain_punctuation(key: str) -> None:
    assert 1 <= len(key_of(key)) <= 255


NONE = [
    "",
    " ",
    " a",
    "a ",
    '"',
    '""',
    '"a',
    '"a" ',
    '"a"b',
    '"a\\"',
    '"\\a"',
    '"a";q=1',
    '"a", "b"',
    "a\tb",
    "a\0",
    "a\n",
    "\x7f",
    "ä",
]


@pytest.mark.parametrize("header", [*NONE, "a" * 256, quoted("a" * 256)])
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 printable ASCII"):
        key_of(header)


def test_requests_differ_by_method_path_and_content() -> None:
    parts = [("POST", "/v1/jobs", b"{}"), ("PUT", "/v1/jobs", b"{}"), ("POST", "/v1/job", b"s{}"), ("POST", "/v1/jobs", b"[]")]
    assert len({fingerprint(*part) for part in parts}) == len(parts)
    assert len(fingerprint(*parts[0])) == 32
