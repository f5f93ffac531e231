"""An upload on its way: read, checked, counted and hashed as it comes, and spooled in the form in which it is stored.

That form is JSON Lines: of each document the line `{"text":"…"}`, with nothing escaped that need not be. The SHA-256 is of these
bytes, so that the same documents are the same data set, however they were sent.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Final, Self

from service.contract import upload_id
from service.datasets.documents import Format, Reader
from service.errors import InvalidInput, Unavailable
from service.logging import get_logger

log = get_logger(__name__)

_QUOTED: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Contents:
    """What an upload came to."""

    sha256: str
    bytes: int
    documents: int
    characters: int

    @property
    def id(self) -> str:
        return upload_id(self.sha256)


class Intake(AbstractContextManager["Intake"]):
    """One upload. The spool is a file that has no name and goes with the context."""

    def __init__(self, form: Format) -> None:
        self._reader = Reader(form)
        self._digest = hashlib.sha256()
        self._bytes = self._documents = self._characters = 0
        self.spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):  # what the disk has not taken
            self.spool.close()

    def take(self, piece: bytes) -> None:
        """Raises InvalidInput, Unavailable."""
        self._write(self._reader.feed(piece))

    def finish(self) -> Contents:
        """The spool is then ready to be read. Raises InvalidInput, Unavailable."""
        self._write(self._reader.end())
        if not self._documents:
            detail = "the body holds no document; send at least one"
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
        log.error("upload_not_spooled", error=str(error))
        raise Unavailable("the service has no room for the upload at the moment", retry_after=60) from error
