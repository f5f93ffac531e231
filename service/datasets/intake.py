"""Streaming intake of an upload: parsed, counted, hashed and spooled in its storage format.

The storage format is JSON Lines: one line `{"text":"…"}` per document, with minimal escaping. The SHA-256 is of these bytes, so
that the same documents are the same data set in whichever format they were sent.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Final, Self

from service.contract.datasets import upload_id
from service.datasets.documents import Format, Reader
from service.errors import InvalidInput, Unavailable
from service.logging import get_logger

log = get_logger(__name__)

_QUOTED: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Contents:
    """Size and checksum of a stored upload."""

    sha256: str
    bytes: int
    documents: int
    characters: int

    @property
    def id(self) -> str:
        """Data set id, derived from the SHA-256."""
        return upload_id(self.sha256)


class Intake(AbstractContextManager["Intake"]):
    """Intake of one upload; the spool is an anonymous temporary file that is deleted on exit."""

    def __init__(self, form: Format) -> None:
        self._reader = Reader(form)
        self._digest = hashlib.sha256()
        self._bytes = self._documents = self._characters = 0
        self.spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):  # buffered bytes that a full disk did not accept
            self.spool.close()

    def take(self, piece: bytes) -> None:
        """Process a chunk of the body. Raises InvalidInput, Unavailable."""
        self._write(self._reader.feed(piece))

    def finish(self) -> Contents:
        """Process the end of the body and rewind the spool. Raises InvalidInput, Unavailable."""
        self._write(self._reader.end())
        if not self._documents:
            detail = "the body contains no document; send at least one"
            raise InvalidInput(detail, errors=[{"pointer": "", "detail": detail}])
        with _room():
            self.spool.seek(0)
        return Contents(self._digest.hexdigest(), self._bytes, self._documents, self._characters)

    def _write(self, documents: Iterator[str]) -> None:
        texts = list(documents)
        lines = "".join([f'{{"text":{_QUOTED(text)}}}\n' for text in texts]).encode()
        with _room():
            self.spool.write(lines)
        self._digest.update(lines)
        self._bytes += len(lines)
        self._documents += len(texts)
        self._characters += sum(map(len, texts))


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("upload_spool_failed", error=str(error))
        raise Unavailable("the service has no disk space for the upload; try again later", retry_after=60) from error
