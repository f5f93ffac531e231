"""Response model of data sets, and the media types of uploads."""

from datetime import datetime
from pathlib import Path
from typing import Final

from service.client.answer import Answer
from service.client.errors import ClientError

_MEDIA_TYPES: Final = {".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson", ".txt": "text/plain"}


class Dataset(Answer):
    """A data set that jobs may use, built in or the tenant's own."""

    id: str
    name: str
    kind: str
    splits: list[str]
    bytes: int | None = None
    documents: int | None = None
    sha256: str | None = None
    used_by_jobs: int | None = None
    created_at: datetime | None = None


def media_type(file: Path) -> str:
    """Return the media type of an upload, by its suffix."""
    found = _MEDIA_TYPES.get(file.suffix.lower())
    if found is None:
        raise ClientError(f"{file.name} has an unknown suffix; use {', '.join(_MEDIA_TYPES)}, according to its format")
    return found
