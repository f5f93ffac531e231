"""Streaming parser of uploads: bytes in chunks of any size to documents.

`text/plain`: documents are separated by blank lines. JSON Lines: one document per line, the string `text` of an object, whose
other fields are ignored. Lines end with LF or CRLF. In both formats, documents of white space only are skipped.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from service.contract.json_flaws import json_flaw
from service.errors import InvalidInput
from service.kit.strict_json import loads

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Maximum size of a line in bytes, and of a plain-text document in characters."""
_BYTE_ORDER_MARK: Final = "\ufeff"


class Format(StrEnum):
    """Format of an upload."""

    TEXT = "text"
    JSON_LINES = "jsonl"


class Reader:
    """Incremental parser of one upload, which yields each document once it is complete.

    Its methods raise InvalidInput with the line number.
    """

    def __init__(self, form: Format) -> None:
        self._line = self._line_of_text if form is Format.TEXT else self._line_of_json
        self._number = 0
        self._rest = bytearray()
        self._paragraph: list[str] = []
        self._paragraph_size = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """Parse a chunk and yield the documents that end in it."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield from self._complete(line)
        self._grow(rest)

    def end(self) -> Iterator[str]:
        """Yield the documents that end with the upload."""
        yield from self._complete(b"")
        yield from self._end_of_paragraph()

    def _complete(self, last: bytes) -> Iterator[str]:
        self._grow(last)
        line = bytes(self._rest)
        self._rest.clear()
        self._number += 1
        yield from self._line(self._decoded(line.removesuffix(b"\r")))

    def _grow(self, more: bytes) -> None:
        if len(self._rest) + len(more) > MAX_LINE_BYTES:
            self._number += 1
            raise self._flaw(f"has more than {MAX_LINE_BYTES} bytes; split it into several lines")
        self._rest += more

    def _decoded(self, line: bytes) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise self._flaw(f"is not valid UTF-8 at byte {error.start + 1}; convert the text to UTF-8") from None
        return self._storable(text.removeprefix(_BYTE_ORDER_MARK) if self._number == 1 else text)

    def _storable(self, text: str) -> str:
        if "\0" in text:
            raise self._flaw("contains a NUL character; remove it")
        return text

    def _line_of_text(self, line: str) -> Iterator[str]:
        if not line.strip():
            yield from self._end_of_paragraph()
            return
        self._paragraph_size += len(line) + 1
        if self._paragraph_size > MAX_LINE_BYTES:
            detail = f"belongs to a document of more than {MAX_LINE_BYTES} characters"
            raise self._flaw(f"{detail}; separate documents by blank lines, or send JSON Lines")
        self._paragraph.append(line)

    def _end_of_paragraph(self) -> Iterator[str]:
        if self._paragraph:
            yield "\n".join(self._paragraph)
        self._paragraph, self._paragraph_size = [], 0

    def _line_of_json(self, line: str) -> Iterator[str]:
        if not line.strip():
            return
        try:
            value = loads(line)
        except (ValueError, RecursionError) as error:
            raise self._flaw(f"is not JSON ({json_flaw(error)}); write one object per line") from None
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise self._flaw('must be an object with a string "text", such as {"text": "A document."}')
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._flaw("contains a lone surrogate (\\ud800 to \\udfff); remove it") from None
        if self._storable(text).strip():
            yield text

    def _flaw(self, what: str) -> InvalidInput:
        detail = f"line {self._number} {what}"
        return InvalidInput(detail, errors=[{"pointer": "", "detail": detail}])
