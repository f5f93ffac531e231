"""Calls for data sets: `client.datasets`."""

from datetime import datetime
from pathlib import Path
from typing import Final, Generic

from service.client.answers import Answer
from service.client.asking import asking, listing
from service.client.call import Call, Page, Repeat, as_one, as_page, nothing, path_to, said
from service.client.errors import ClientError
from service.client.methods import Calls, Driver, Iteration, Method

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


def upload(file: Path, *, name: str | None = None) -> Call[Dataset]:
    """Upload a text (`.txt`: documents separated by blank lines) or JSON Lines (`.jsonl`: objects with a string `text`).

    Uploading the same documents again returns the same data set, so that retries are harmless.

    Raises:
        ClientError: the file's suffix is unknown.
    """
    media_type = _MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None:
        raise ClientError(f"{file.name} has an unknown suffix; use {', '.join(_MEDIA_TYPES)}, according to its format")
    headers = {"Content-Type": media_type}
    return Call(
        "POST", path_to("datasets"), as_one(Dataset.model_validate), query=said(name=name or None), headers=headers, file=file
    )


def list_all() -> Call[Page[Dataset]]:
    """List the data sets: built-in ones, then the tenant's, newest first; pages are fetched as needed."""
    return Call("GET", path_to("datasets"), as_page(Dataset.model_validate))


def get(dataset_id: str) -> Call[Dataset]:
    """Return one data set, built in or the tenant's own."""
    return Call("GET", path_to("datasets", dataset_id), as_one(Dataset.model_validate))


def delete(dataset_id: str) -> Call[None]:
    """Delete an upload that no job needs."""
    return Call("DELETE", path_to("datasets", dataset_id), nothing, repeat=Repeat.UNDONE)


class DatasetCalls(Calls[Driver], Generic[Driver]):
    """Data sets for calibration and evaluation."""

    upload = Method(asking(upload))
    list = Iteration(listing(list_all))
    get = Method(asking(get))
    delete = Method(asking(delete))
