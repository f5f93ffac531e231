"""Finished artifact: the files written next to the weights, and the upload of the folder to the store.

Readers trust only `manifest.json`. It is written last, if absent, after every file it lists has been read back from the store and
verified.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore

from service.contract.artifact_files import RECIPE_NAME, SPARSITY_REPORT_NAME, SPARSITY_REPORT_VERSION
from service.contract.artifacts import MANIFEST_NAME, REPORT_NAME, SUMS_NAME, Manifest, ManifestFile, artifact_prefix
from service.contract.checkpoints import loading_class
from service.contract.formats import Format, WeightSizes
from service.contract.provenance import PROVENANCE_NAME, Provenance
from service.contract.signatures import SignatureFacts
from service.contract.spec import RECIPE_VERSION
from service.kit.files import fsync, sha256_of
from service.logging import get_logger
from service.settings import Settings
from service.storage.addresses import StoreNotUsable
from service.storage.open_uploads import OpenUploads
from service.storage.opening import open_at
from service.storage.removal import remove_below
from worker.failures import JobFailure
from worker.process.metrics import TRANSFERS_FAILED, UPLOADED_BYTES
from worker.publishing.model_card.card import SOURCE_CARD, render_card
from worker.publishing.outcome import Outcome
from worker.publishing.report import render
from worker.store_transfer import Sent, Tick, asked, read_back, read_whole, refused, store_trouble, upload

log, host_log = get_logger(__name__), get_logger("worker.host")
"""The host's log is the operator's: its events are not kept with the job."""

_TRIES = 3  # of one file; each of its requests has its own retries

Progress = Callable[[int, int], None]
"""Callback with the bytes done and in total."""


@dataclass(frozen=True)
class Weights:
    """Entries of the manifest on the weights: formats included, size in each format, provenance and signature."""

    formats: Sequence[Format] = ("dense",)
    bytes: WeightSizes | None = None
    provenance: Provenance | None = None
    signature: SignatureFacts | None = None


def describe(folder: Path, outcome: Outcome, tick: Tick = lambda: None) -> None:
    """Write model card, report, recipe, sparsity report and provenance into the folder of the weights, SHA256SUMS last.

    The source's README.md, which describes another model, is kept as README.source.md.
    """
    source_card = outcome.model.path / "README.md"
    if source_card.is_file():
        shutil.copyfile(source_card, folder / SOURCE_CARD)
    recipe = _recipe(outcome)
    (folder / "README.md").write_text(_card(outcome, folder, has_source_card=source_card.is_file()), encoding="utf-8")
    (folder / REPORT_NAME).write_text(render(outcome, recipe), encoding="utf-8")
    _write_json(folder / RECIPE_NAME, recipe)
    report = {"schema_version": SPARSITY_REPORT_VERSION, **outcome.report.to_dict()}
    _write_json(folder / SPARSITY_REPORT_NAME, report)
    _write_json(folder / PROVENANCE_NAME, outcome.provenance.model_dump(mode="json"))
    lines = [f"{sha256_of(folder / name, lambda _: tick())}  {name}\n" for name in _files(folder) if name != SUMS_NAME]
    (folder / SUMS_NAME).write_text("".join(lines), encoding="utf-8")


def _card(outcome: Outcome, folder: Path, *, has_source_card: bool) -> str:
    config = folder / "config.json"
    return render_card(
        spec=outcome.spec,
        model=outcome.model,
        report=outcome.report,
        quality=outcome.quality,
        sizes=outcome.sizes,
        has_source_card=has_source_card,
        loading_class=loading_class(json.loads(config.read_bytes()) if config.is_file() else {}),
        bos=outcome.provenance.bos,
    )


def open_store(settings: Settings) -> ObjectStore:
    """Open the artifact store; a local directory is created. Credentials come from the environment, as for the store's own tools.

    Raises:
        JobFailure: `artifact-upload-failed`: it cannot be opened.
    """
    options = {
        "client_options": {"connect_timeout": "5s", "timeout": timedelta(seconds=settings.store_timeout_seconds)},
        "retry_config": {"max_retries": 20, "retry_timeout": timedelta(seconds=settings.store_retry_seconds)},
    }
    with store_trouble():
        try:
            return open_at(settings.artifact_url, **options)
        except StoreNotUsable as error:
            host_log.error("store_not_usable", error=str(error))
            raise refused("The worker cannot open the artifact store; its log says why.") from error


def publish(
    folder: Path,
    store: ObjectStore,
    *,
    job_id: str,
    fence: int,
    progress: Progress,
    tick: Tick,
    weights: Weights = Weights(),
) -> Manifest:
    """Upload the folder under the attempt's prefix, read it back, and only then write the manifest.

    `progress` gets the bytes done and in total; a file counts half when sent and half when read back. It and `tick` are called
    every few megabytes. An exception they raise stops the upload, and no manifest is written.

    Raises:
        JobFailure: `artifact-upload-failed`: the store fails, or returns other bytes than were uploaded.
    """
    prefix = artifact_prefix(job_id, fence)
    published = _published(store, prefix)
    if published is not None:
        return _confirm(published, folder, tick)
    names = _files(folder)
    counted = _counting(2 * sum((folder / name).stat().st_size for name in names), progress, tick)
    files = [_transfer(store, f"{prefix}/{name}", folder / name, name, counted) for name in names]
    manifest = Manifest(
        job_id=job_id,
        fence=fence,
        files=files,
        formats=list(weights.formats),
        weight_bytes=weights.bytes,
        provenance=weights.provenance,
        signature=weights.signature,
    )
    _abort_open_uploads(store, prefix)
    tick()
    _put_manifest(store, f"{prefix}/{MANIFEST_NAME}", manifest.model_dump_json(indent=1).encode())
    return manifest


def _transfer(store: ObjectStore, key: str, path: Path, name: str, counted: Sent) -> ManifestFile:
    """Upload one file and read it back; start again from its beginning on failures that retries of single requests cannot fix."""
    for again in reversed(range(_TRIES)):
        try:
            file = upload(store, key, path, name, counted)
            if read_back(store, key, counted) != (file.bytes, file.sha256):
                raise refused(f"The store returned {name} with other bytes than were uploaded.")
            break
        except JobFailure as failure:
            TRANSFERS_FAILED.inc()
            log.warning("transfer_failed", key=key, again=again > 0, error=failure.detail)
            if not again:
                raise
    return file


def _counting(total: int, progress: Progress, tick: Tick) -> Sent:
    """Return a counter of `total` bytes: those sent to the store and those read back."""
    passed = 0

    def count(size: int) -> None:
        nonlocal passed
        tick()
        UPLOADED_BYTES.inc(size)
        passed += size
        progress(min(passed, total) // 2, total // 2)  # resent bytes must not exceed the total

    return count


def sweep(store: ObjectStore, job_id: str, fence: int) -> None:
    """Remove everything that an attempt has put into the store, including open multipart uploads.

    Raises:
        JobFailure: `artifact-upload-failed`: the store fails.
    """
    prefix = artifact_prefix(job_id, fence)
    with store_trouble():
        remove_below(store, prefix)
        OpenUploads(store).abort_below(prefix)


def _abort_open_uploads(store: ObjectStore, prefix: str) -> None:
    """Abort multipart uploads that resent requests left open. All files are complete, so a failure only costs storage."""
    try:
        OpenUploads(store).abort_below(prefix)
    except OSError as error:
        log.warning("open_uploads_not_aborted", prefix=prefix, error=type(error.__cause__).__name__)


def _published(store: ObjectStore, prefix: str) -> Manifest | None:
    with store_trouble():
        try:
            content = read_whole(store, f"{prefix}/{MANIFEST_NAME}")
        except FileNotFoundError:
            return None
    return Manifest.model_validate_json(content)


def _confirm(published: Manifest, folder: Path, tick: Tick) -> Manifest:
    """Return the existing manifest if it matches this folder; the files that it lists are never written again."""
    there = {name: sha256_of(folder / name, lambda _: tick()) for name in _files(folder)}
    if {file.path: file.sha256 for file in published.files} != there:
        raise refused("The attempt has already published another artifact.")
    return published


def _recipe(outcome: Outcome) -> dict[str, Any]:
    """Return the body of a request that reproduces the job, with the model's revision: of a local one the hash of its files.

    It leaves out hub repository and MLflow run: another user may not write to them, or would overwrite their content.
    """
    parts = {"model", "recipe", "calibration", "evaluation", "output"}
    body = outcome.spec.model_dump(mode="json", include=parts, exclude={"output": {"hub", "mlflow"}})
    revision = outcome.report.source or None if outcome.spec.model.source == "local" else outcome.model.revision
    return {"schema_version": RECIPE_VERSION, **body, "model": {**body["model"], "revision": revision}}


def _write_json(path: Path, value: Any) -> None:
    """Write strict JSON: non-finite numbers become null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    path.write_text(json.dumps(finite, indent=1) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[str]:
    """Return all files but the manifest, as sorted POSIX paths relative to the folder."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert all(name.isprintable() and "\\" not in name for name in names)
    return [name for name in names if name != MANIFEST_NAME]


def _put_manifest(store: ObjectStore, key: str, content: bytes) -> None:
    with store_trouble():
        try:
            asked(lambda: obstore.put(store, key, content, mode="create"))
        except AlreadyExistsError:
            if read_whole(store, key) != content:
                raise refused("The attempt has already published another artifact.") from None
    if isinstance(store, LocalStore):
        path = Path(str(store.prefix)) / key
        fsync(path, path.parent)
