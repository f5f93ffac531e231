"""Verified, resumable download of an artifact: a file gets its name only if it matches the manifest."""

import asyncio
from pathlib import Path

import httpx

from service.client.aio.http import AsyncCalls
from service.client.download import PartialFile, Received, path_inside
from service.client.errors import ApiError, DownloadRefused, StoreRefused, Unreachable
from service.client.patience import RetryBudget, Trouble
from service.client.request import path_to
from service.contract.artifacts import Manifest, ManifestFile
from service.kit.files import is_intact


class AsyncArtifactCalls(AsyncCalls):
    """Artifact of a job: its manifest and its files."""

    async def manifest(self, job_id: str) -> Manifest:
        """Return the manifest of the job's artifact."""
        return await self._http.fetch(Manifest.model_validate, "GET", path_to("jobs", job_id, "artifacts"))

    async def download(self, job_id: str, destination: Path, received: Received = lambda _path, _size: None) -> Manifest:
        """Download the artifact into `destination`, each file checked against the manifest's SHA-256.

        Files that are already complete and correct are skipped, partial ones are resumed.

        Raises:
            DownloadRefused: a path leaves the destination, or a file does not match the manifest.
                A wrong file never gets its name.
        """
        manifest = await self.manifest(job_id)
        targets = [(file, path_inside(destination, file.path)) for file in manifest.files]
        for file, target in targets:
            await self._fetch(job_id, file, target, received)
            received(file.path, file.bytes)
        return manifest

    async def download_file(self, job_id: str, path: str, destination: Path) -> ManifestFile:
        """Download one file of the artifact to `destination`, checked against the manifest's SHA-256.

        Raises:
            DownloadRefused: the artifact has no such file, or the download does not match the manifest.
        """
        manifest = await self.manifest(job_id)
        file = next((each for each in manifest.files if each.path == path), None)
        if file is None:
            raise DownloadRefused(
                f"the artifact of job {job_id} has no {path}; `dsnot artifacts download` downloads all its files"
            )
        await self._fetch(job_id, file, destination, lambda _path, _size: None)
        return file

    async def _fetch(self, job_id: str, file: ManifestFile, target: Path, received: Received) -> None:
        """Download a file unless it is complete; a partial file of an earlier run that turns out wrong is discarded once."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if await asyncio.to_thread(is_intact, target, size=file.bytes, sha256=file.sha256):
            return
        part = await asyncio.to_thread(PartialFile, target)
        second_chance = part.size > 0
        while True:
            await self._complete(job_id, file, part, received)
            if part.size == file.bytes and part.sha256 == file.sha256:
                part.append(b"")  # so that an empty file exists, too
                part.path.replace(target)
                return
            part.discard()
            if not second_chance:
                raise DownloadRefused(f"{file.path} does not match the manifest: its size or SHA-256 differs; it was not kept")
            second_chance = False

    async def _complete(self, job_id: str, file: ManifestFile, part: PartialFile, received: Received) -> None:
        """Append to the partial file until it has at least the size in the manifest."""
        patience = RetryBudget(self._http.patience)
        while part.size < file.bytes:
            before = part.size
            try:
                await self._append(job_id, file, part, received)
                if part.size <= before:
                    return
                continue
            except httpx.RequestError as error:
                if part.size > before:
                    patience.restart()
                trouble: Trouble = Unreachable(self._http.url, error)
            except (ApiError, StoreRefused) as error:  # each redirect to the store has a new presigned URL
                trouble = error
            await asyncio.sleep(patience.pause_after(trouble))

    async def _append(self, job_id: str, file: ManifestFile, part: PartialFile, received: Received) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={part.size}-"} if part.size else {})
        async with self._http.stream(path_to("jobs", job_id, "artifacts", *file.path.split("/")), headers) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                part.discard()
            async for piece in response.aiter_bytes():
                await asyncio.to_thread(part.append, piece)
                received(file.path, part.size)
                if part.size > file.bytes:
                    return
