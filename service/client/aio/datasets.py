"""Calls for data sets: `client.datasets`."""

from pathlib import Path

from service.client.aio.http import AsyncCalls, AsyncListing
from service.client.datasets import Dataset, media_type
from service.client.patience import Repeat
from service.client.request import drop_none, path_to


class AsyncDatasetCalls(AsyncCalls):
    """Data sets for calibration and evaluation."""

    async def upload(self, file: Path, *, name: str | None = None) -> Dataset:
        """Upload a text (`.txt`: documents separated by blank lines) or JSON Lines (`.jsonl`: objects with a string `text`).

        Uploading the same documents again returns the same data set, so that retries are harmless.

        Raises:
            ClientError: the file's suffix is unknown.
        """
        headers, query = {"Content-Type": media_type(file)}, drop_none(name=name or None)
        path = path_to("datasets")
        return await self._http.fetch(Dataset.model_validate, "POST", path, query=query, headers=headers, file=file)

    def list(self) -> AsyncListing[Dataset]:
        """List the data sets: built-in ones, then the tenant's, newest first; pages are fetched as needed."""
        return self._http.items(Dataset.model_validate, path_to("datasets"))

    async def get(self, dataset_id: str) -> Dataset:
        """Return one data set, built in or the tenant's own."""
        return await self._http.fetch(Dataset.model_validate, "GET", path_to("datasets", dataset_id))

    async def delete(self, dataset_id: str) -> None:
        """Delete an upload that no job needs."""
        await self._http.send("DELETE", path_to("datasets", dataset_id), repeat=Repeat.UNDONE)
