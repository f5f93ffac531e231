"""Uploads from their bytes to their documents, held against the standard library on the whole text at once."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets import documents
from service.datasets.documents import Format
from service.datasets.intake import Contents, Intake
from service.errors import InvalidInput, Unavailable

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
pieces = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"a", "ä😀".encode(), b'{"text":"b"}', b'"', b"\xff", b"\0", b"{}"])
)


def took(form: Format, parts: Sequence[bytes]) -> tuple[Contents, list[str]]:
    with Intake(form) as intake:
        for part in parts:
            intake.take(part)
        contents = intake.finish()
        content = intake.spool.read()
    assert contents.sha256 == hashlib.sha256(content).hexdigest()
    assert contents.bytes == len(content)
    found = [json.loads(line)["text"] for line in content.decode().split("\n")[:-1]]
    assert (contents.documents, contents.characters) == (len(found), sum(map(len, found)))
    return contents, found


def outcome(form: Format, parts: Sequence[bytes]) -> object:
    try:
        return took(form, parts)
    except InvalidInput as error:
        return error.detail


def cut(body: bytes, places: Sequence[int]) -> Iterator[bytes]:
    ends = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    yield from (body[start:end] for start, end in pairwise(ends))


@given(st.sampled_from(Format), pieces.map(b"".join), st.lists(st.integers(0, 1000), max_size=8))
def test_chunk_boundaries_make_no_difference(form: Format, body: bytes, places: list[int]) -> None:
    assert outcome(form, list(cut(body, places))) == outcome(form, [body])


@given(st.lists(texts.filter(str.strip), min_size=1))
def test_json_lines_return_exactly_the_texts(wanted: list[str]) -> None:
    body = "\r\n".join(json.dumps({"id": 1, "text": text}) + "\n" for text in wanted)
    _, found = took(Format.JSON_LINES, [body.encode()])
    assert found == wanted


@given(st.lists(texts.filter(str.strip), min_size=1))
def test_equal_documents_have_equal_ids_in_any_notation(wanted: list[str]) -> None:
    plain = [json.dumps({"text": text}, ensure_ascii=ascii_).encode() for text in wanted for ascii_ in (True, False)]
    first, _ = took(Format.JSON_LINES, [b"\n".join(plain[0::2])])
    second, _ = took(Format.JSON_LINES, [b"\n\n".join(plain[1::2]) + b"\n"])
    assert first == second
    assert first.id == f"ds-{first.sha256[:16]}"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_plain_text_documents_are_separated_by_blank_lines(ending: str) -> None:
    lines = ["\ufeff", "One,", "  in two lines.", "", " \t", "", "Two ä.", "", "Three"]
    _, found = took(Format.TEXT, [ending.join(lines).encode()])
    assert found == ["One,\n  in two lines.", "Two ä.", "Three"]
    assert took(Format.TEXT, [(ending.join(lines) + ending * 3).encode()])[1] == found


def test_text_and_json_lines_with_equal_documents_have_equal_ids() -> None:
    as_text, _ = took(Format.TEXT, [b"One,\r\nin two.\r\n\r\nTwo."])
    as_lines, _ = took(Format.JSON_LINES, [b'{"text": "One,\\nin two."}\n{"text": "Two."}'])
    assert as_text == as_lines


@pytest.mark.parametrize(
    ("form", "body", "told"),
    [
        (Format.TEXT, b"", "no document"),
        (Format.TEXT, b" \n\r\n\t\n", "no document"),
        (Format.JSON_LINES, b'\n{"text": " "}\n', "no document"),
        (Format.TEXT, b"one\n\xff\n", "line 2 is not valid UTF-8 at byte 1"),
        (Format.TEXT, b"one\n\nt\xc3", "line 3 is not valid UTF-8 at byte 2"),
        (Format.TEXT, b"a\0b", "line 1 contains a NUL"),
        (Format.JSON_LINES, b'{"text": "a\\u0000b"}', "line 1 contains a NUL"),
        (Format.JSON_LINES, b'{"text": "a"}\n{"text": "\\ud800"}', "line 2 contains a lone surrogate"),
        (Format.JSON_LINES, b'{"text": "a"}\n\n{"text": 1}', "line 3 must be an object"),
        (Format.JSON_LINES, b'{"txt": "a"}', "line 1 must be an object"),
        (Format.JSON_LINES, b'["text"]', "line 1 must be an object"),
        (Format.JSON_LINES, b'{"text": "a"', "line 1 is not JSON"),
        (Format.JSON_LINES, b'{"text": "a", "text": "b"}', "line 1 is not JSON (a name appears twice"),
        (Format.JSON_LINES, b'{"text": "a", "x": NaN}', "line 1 is not JSON"),
        (Format.JSON_LINES, b'{"text": "a", "x": ' + b"9" * 5000 + b"}", "line 1 is not JSON"),
        (Format.JSON_LINES, b'{"text": ' + b"[" * 100_000, "line 1 is not JSON (it is nested too deeply)"),
    ],
)
def test_errors_are_reported_with_their_line(form: Format, body: bytes, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        took(form, [body])
    assert told in caught.value.detail
    assert caught.value.errors == [{"pointer": "", "detail": caught.value.detail}]


@pytest.mark.parametrize("form", Format)
def test_an_endless_line_is_refused_before_it_fills_the_memory(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_LINE_BYTES", 1000)
    with Intake(form) as intake:
        for _ in range(10):
            intake.take(b" " * 100)
        with pytest.raises(InvalidInput, match="line 1 has more than 1000 bytes"):
            intake.take(b" ")


def test_an_endless_document_is_refused_with_how_to_separate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_LINE_BYTES", 1000)
    took(Format.TEXT, [b"0123456789\n" * 90 + b"\n"] * 2)
    with pytest.raises(InvalidInput, match=r"line 91 .* separate documents by blank lines"):
        took(Format.TEXT, [b"0123456789\n" * 100])


def spooled_to_a_full_disk(body: bytes) -> Contents:
    with Intake(Format.TEXT) as intake:
        intake.spool.close()
        intake.spool = Path("/dev/full").open("wb")  # noqa: SIM115  # the intake closes it
        intake.take(body)
        return intake.finish()


@pytest.mark.parametrize("body", [b"word", b"word\n\n" * 100_000])
def test_a_full_disk_is_a_transient_error(body: bytes) -> None:
    with pytest.raises(Unavailable):
        spooled_to_a_full_disk(body)
