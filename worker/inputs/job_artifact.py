"""Download of an earlier job's artifact: the files of its manifest, each verified, from the store into the worker's cache."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from pydantic import ValidationError

from service.contract.artifacts import MANIFEST_NAME, Manifest, ManifestFile, artifact_prefix
from service.contract.checkpoint_files import files_to_fetch
from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from service.settings import Settings
from service.storage.reasons import reason_of
from worker.failures import ModelError
from worker.inputs.model_cache import folder_of, reserve, root
from worker.store_transfer import read_whole, refused, stored_chunks


def fetch(model: ModelSpec, store: ObjectStore, settings: Settings, tick: Callable[[], None]) -> Path:
    """Fetch the artifact, once per host, and return its folder.

    Raises:
        ModelError: it no longer exists, or a file does not match the manifest.
        JobFailure: `artifact-upload-failed`: the store cannot be read; `disk-full`, before anything is fetched.
    """
    target = root(settings.cache_dir) / folder_of(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _fetch_all(model, store, settings, target, tick)
    return target


def _fetch_all(model: ModelSpec, store: ObjectStore, settings: Settings, target: Path, tick: Callable[[], None]) -> None:
    prefix = artifact_prefix(model.id, int(model.revision or 0))
    manifest = _manifest(store, f"{prefix}/{MANIFEST_NAME}", model)
    wanted = set(files_to_fetch(file.path for file in manifest.files))
    files = [file for file in manifest.files if file.path in wanted]
    copy = sum(file.bytes for file in files if file.path.endswith(".safetensors"))
    download = sum(file.bytes for file in files)
    reserve(settings.cache_dir, download=download, copy=copy, max_bytes=settings.max_model_cache_bytes)
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed worker
    try:
        for file in files:
            _fetch_one(_content(store, f"{prefix}/{file.path}", model), file, partial / file.path, tick)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _manifest(store: ObjectStore, key: str, model: ModelSpec) -> Manifest:
    with _reading(model):
        content = read_whole(store, key)
    try:
        return Manifest.model_validate_json(content)
    except ValidationError:
        raise ModelError(FailureCode.MODEL_NOT_FOUND, f"The artifact of job {model.id} has no valid manifest.") from None


def _content(store: ObjectStore, key: str, model: ModelSpec) -> Iterator[bytes]:
    with _reading(model):
        yield from stored_chunks(store, key)


@contextmanager
def _reading(model: ModelSpec) -> Iterator[None]:
    """Convert errors of the store into failures."""
    try:
        yield
    except FileNotFoundError:
        raise ModelError(FailureCode.MODEL_NOT_FOUND, f"The artifact of job {model.id} no longer exists.") from None
    except (BaseError, OSError) as error:
        raise refused(f"The artifact of job {model.id} could not be read from the store: {reason_of(error)}.") from error


def _fetch_one(content: Iterator[bytes], file: ManifestFile, target: Path, tick: Callable[[], None]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as output:
        for chunk in content:
            tick()
            output.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if size != file.bytes or digest.hexdigest() != file.sha256:
        raise ModelError(FailureCode.MODEL_UNSAFE, f"{file.path} of the earlier job's artifact does not match its manifest.")
