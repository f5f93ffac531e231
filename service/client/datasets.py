"""Calls about data sets: `client.datasets`."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from service.client.answers import Answer
from service.client.errors import ClientError
from service.client.transport import Transport, pages

_MEDIA_TYPES: Final = {".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson", ".txt": "text/plain"}


class Dataset(Answer):
    """Text that jobs may name, built in or the tenant's own."""

    id: str
    name: str
    kind: str
    splits: list[str]
    bytes: int | None = None
    documents: int | None = None
    sha256: str | None = None
    used_by_jobs: int | None = None
    created_at: datetime | None = None


class DatasetCalls:
    """Text for calibration and evaluation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(self, file: Path, *, name: str | None = None) -> Dataset:
        """Bring a text (`.txt`: documents separated by blank lines) or JSON Lines (`.jsonl`: objects with a string `text`).

        The same documents again are the same data set, so that lost answers do no harm.

        Raises:
            ClientError: the file's name does not tell which it is.
        """
        media_type = _MEDIA_TYPES.get(file.suffix.lower())
        if media_type is None:
            raise ClientError(f"{file.name} should end in {', '.join(_MEDIA_TYPES)}, which tells what is in it")
        return Dataset.model_validate(self._transport.upload("/v1/datasets", file, media_type, {"name": name} if name else {}))

    def list(self) -> Iterator[Dataset]:
        """The built-in ones, then the tenant's, newest first; pages are fetched as they are needed."""
        return map(Dataset.model_validate, pages(self._transport, "/v1/datasets"))

    def get(self, dataset_id: str) -> Dataset:
        return Dataset.model_validate(self._transport.read(_path(dataset_id)))

    def delete(self, dataset_id: str) -> None:
        """Remove one that no job needs."""
        self._transport.delete(_path(dataset_id))


def _path(dataset_id: str) -> str:
    return f"/v1/datasets/{quote(dataset_id, safe='')}"
