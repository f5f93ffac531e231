"""The finished artifact: what is written beside the weights, and how the folder gets into the store.

Readers trust only `manifest.json`. It is written last, if absent, after every file it lists has been read back from the store and
found to be what was meant.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from service.contract import MANIFEST_NAME, FailureCode, JobSpec, Manifest, ManifestFile, artifact_prefix
from service.settings import Settings
from worker.engine.report import SparsityReport
from worker.evaluation.perplexity import PerplexityMetric
from worker.failures import JobFailure
from worker.model_card import SOURCE_CARD, render_card
from worker.models import Model

_CHUNK = 4 * 1024 * 1024  # bytes
_MIN_PART = 8 * 1024 * 1024  # bytes of one part of a multipart upload
_MAX_PARTS = 9000  # S3 allows 10 000
SUMS_NAME = "SHA256SUMS"

Tick = Callable[[], None]


def describe(
    folder: Path,
    *,
    spec: JobSpec,
    model: Model,
    report: SparsityReport,
    dense: Sequence[PerplexityMetric],
    pruned: Sequence[PerplexityMetric],
    tick: Tick = lambda: None,
) -> None:
    """Write README.md, recipe.json, sparsity_report.json and SHA256SUMS into the pruned checkpoint's folder.

    The source's README.md, which describes another model, is kept as README.source.md.
    """
    source_card = model.path / "README.md"
    if source_card.is_file():
        shutil.copyfile(source_card, folder / SOURCE_CARD)
    card = render_card(spec=spec, model=model, report=report, dense=dense, pruned=pruned, has_source_card=source_card.is_file())
    (folder / "README.md").write_text(card, encoding="utf-8")
    _write_json(folder / "recipe.json", _recipe(spec, model))
    _write_json(folder / "sparsity_report.json", report.to_dict())
    lines = [f"{_hash_file(folder / name, tick)}  {name}\n" for name in _files(folder) if name != SUMS_NAME]
    (folder / SUMS_NAME).write_text("".join(lines), encoding="utf-8")


def open_store(settings: Settings) -> ObjectStore:
    """The artifact store; a local directory is created. Credentials come from the environment, as the store's own tools do."""
    url = settings.artifact_url
    with _uploading():
        return from_url(url, mkdir=True, automatic_cleanup=True) if url.startswith("file:") else from_url(url)


def publish(folder: Path, store: ObjectStore, *, job_id: str, fence: int, tick: Tick) -> Manifest:
    """Upload the folder under the attempt's prefix, read it back, and only then write the manifest.

    `tick` is called for every few megabytes; what it raises stops the upload, and no manifest is written.

    Raises:
        JobFailure: `artifact-upload-failed`: the store refuses, or gives back something else than was put.
    """
    prefix = artifact_prefix(job_id, fence)
    published = _published(store, prefix)
    if published is not None:
        return _confirm(published, folder, tick)
    files = []
    for name in _files(folder):
        key = f"{prefix}/{name}"
        file = _upload(store, key, folder / name, name, tick)
        if _read_back(store, key, tick) != (file.bytes, file.sha256):
            raise _refused(f"{name} came back from the store with other bytes than were put.")
        files.append(file)
    manifest = Manifest(job_id=job_id, fence=fence, files=files)
    tick()
    _put_manifest(store, f"{prefix}/{MANIFEST_NAME}", manifest.model_dump_json(indent=1).encode())
    return manifest


def sweep(store: ObjectStore, job_id: str, fence: int) -> None:
    """Delete all that an attempt has put into the store, its manifest first, so that nobody trusts what is half gone.

    Raises:
        JobFailure: `artifact-upload-failed`: the store refuses.
    """
    prefix = artifact_prefix(job_id, fence)
    with _uploading():
        paths = [entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch]
        manifest = f"{prefix}/{MANIFEST_NAME}"
        if manifest in paths:
            obstore.delete(store, manifest)
        obstore.delete(store, [path for path in paths if path != manifest])
    if isinstance(store, LocalStore):  # parts of an upload that was killed are not listed
        shutil.rmtree(Path(str(store.prefix)) / prefix, ignore_errors=True)


def _published(store: ObjectStore, prefix: str) -> Manifest | None:
    with _uploading():
        try:
            content = bytes(obstore.get(store, f"{prefix}/{MANIFEST_NAME}").bytes())
        except FileNotFoundError:
            return None
    return Manifest.model_validate_json(content)


def _confirm(published: Manifest, folder: Path, tick: Tick) -> Manifest:
    """The manifest that is there, if it is of this folder; what it lists is never written again."""
    if {file.path: file.sha256 for file in published.files} != {name: _hash_file(folder / name, tick) for name in _files(folder)}:
        raise _refused("The attempt has already published something else.")
    return published


def _recipe(spec: JobSpec, model: Model) -> dict[str, Any]:
    """What repeats the job: the body of a request, with the model as it was resolved."""
    body = spec.model_dump(mode="json", include={"model", "recipe", "calibration", "evaluation", "output"})
    return {**body, "resolved_revision": model.revision}


def _write_json(path: Path, value: Any) -> None:
    """Strict JSON: what is not finite becomes null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    path.write_text(json.dumps(finite, indent=1) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[str]:
    """All files, as sorted POSIX paths relative to the folder."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert all(name.isprintable() and "\\" not in name for name in names)
    return [name for name in names if name != MANIFEST_NAME]


def _chunks(path: Path, tick: Tick) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            tick()
            yield chunk


def _hash_file(path: Path, tick: Tick) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path, tick):
        digest.update(chunk)
    return digest.hexdigest()


def _upload(store: ObjectStore, key: str, path: Path, name: str, tick: Tick) -> ManifestFile:
    """Put one file, hashing what is sent on its way."""
    digest, size = hashlib.sha256(), 0

    def sent() -> Iterator[bytes]:
        nonlocal size
        for chunk in _chunks(path, tick):
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    total = path.stat().st_size
    body = sent() if total > _MIN_PART else b"".join(sent())  # a small file is one request instead of three
    with _uploading():
        obstore.put(store, key, body, chunk_size=max(_MIN_PART, total // _MAX_PARTS + 1), max_concurrency=4)
    return ManifestFile(path=name, bytes=size, sha256=digest.hexdigest())


def _read_back(store: ObjectStore, key: str, tick: Tick) -> tuple[int, str]:
    """Size and SHA-256 of what the store holds. A local store's bytes are first forced onto the disk."""
    if isinstance(store, LocalStore):
        _settle(Path(str(store.prefix)) / key)
    digest, size = hashlib.sha256(), 0
    with _uploading():
        for chunk in obstore.get(store, key).stream(min_chunk_size=_CHUNK):
            tick()
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _settle(path: Path) -> None:
    """Force a file and its name onto the disk, so that a power cut cannot take away what a manifest lists."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_manifest(store: ObjectStore, key: str, content: bytes) -> None:
    with _uploading():
        try:
            obstore.put(store, key, content, mode="create")
        except AlreadyExistsError:
            if bytes(obstore.get(store, key).bytes()) != content:
                raise _refused("The attempt has already published something else.") from None
    if isinstance(store, LocalStore):
        _settle(Path(str(store.prefix)) / key)


@contextmanager
def _uploading() -> Iterator[None]:
    """Tell the user of trouble with the store by its class alone: the store's own text holds addresses."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise _refused(f"The artifact store refused ({type(error).__name__}).") from error


def _refused(detail: str) -> JobFailure:
    return JobFailure(FailureCode.ARTIFACT_UPLOAD_FAILED, detail)
