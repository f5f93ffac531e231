"""Download of a checkpoint from the Hugging Face Hub: the files that are needed, at one commit, into the worker's cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.contract.checkpoint_files import files_to_fetch, reason_against_adapter
from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from service.models.hub.listing import repository_info
from service.models.hub.refusals import refusal_of
from service.models.hub.tokens import UnknownToken, hub_token
from service.settings import Settings
from worker.failures import JobFailure, ModelError, is_disk_full
from worker.inputs.model_cache import reserve, root

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo


@dataclass(frozen=True)
class Snapshot:
    """A commit in the cache."""

    path: Path
    """Folder of the files, which are links."""
    repository: Path
    """Folder of the cache with all commits of this model; the links lead into it."""
    commit: str
    names: Sequence[str]
    """All files of the repository at this commit, also those that were not downloaded."""


def fetch(model: ModelSpec, settings: Settings, *, tenant: str) -> Snapshot:
    """Resolve the revision (default: the main branch) to a commit and download it; cached files are kept.

    The hub is asked with the job's token whether it may read the weights, even if they are cached: tenants share the cache.

    The hub's address comes from the environment (`HF_ENDPOINT`), and so does the token (`HF_TOKEN`) if the job names none.

    Raises:
        ModelError: not found, not allowed, without safetensors; or (code `hub-unavailable`) the hub cannot be reached.
        JobFailure: `disk-full`, before anything is downloaded.
    """
    if settings.hub_allow and not any(fnmatchcase(model.id, pattern) for pattern in settings.hub_allow):
        raise ModelError(FailureCode.MODEL_ACCESS_DENIED, f"{model.id} is not on this service's list of allowed hub models.")
    try:
        token = hub_token(settings, tenant, model.token)
    except UnknownToken as error:
        raise ModelError(FailureCode.MODEL_ACCESS_DENIED, f"On this worker {error}.") from None
    try:
        path, names = _snapshot(model, token, settings)
    except JobFailure:
        raise
    except Exception as error:  # the client raises its own errors, its HTTP library's, and OSError
        if is_disk_full(error):
            raise
        refusal = refusal_of(error, model.id, model.revision)
        raise ModelError(refusal.code, refusal.detail) from error
    return Snapshot(path, path.parent.parent, path.name, names)


def _snapshot(model: ModelSpec, token: str | None, settings: Settings) -> tuple[Path, list[str]]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, snapshot_download

    cache = root(settings.cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    info = repository_info(model, token, seconds=30)
    every = [sibling.rfilename for sibling in info.siblings or []]
    names = files_to_fetch(every)
    weights = next((name for name in names if name.endswith(".safetensors")), None)
    if weights is None:
        reason = reason_against_adapter(every) or f"{model.id} has no safetensors weights; other formats can run code."
        raise ModelError(FailureCode.MODEL_UNSAFE, reason)
    # names are public even of a gated model, and the cache answers without a request: the right to read is asked of the hub
    get_hf_file_metadata(hf_hub_url(model.id, weights, revision=info.sha), token=token, timeout=30)
    wanted: dict[str, Any] = {"revision": info.sha, "cache_dir": cache, "allow_patterns": names, "token": token}
    _reserve_disk(snapshot_download(model.id, **wanted, dry_run=True), settings)
    return Path(snapshot_download(model.id, **wanted)), every


def _reserve_disk(plan: "list[DryRunFileInfo]", settings: Settings) -> None:
    download = sum(file.file_size or 0 for file in plan if file.will_download)
    copy = sum(file.file_size or 0 for file in plan if file.filename.endswith(".safetensors"))
    reserve(settings.cache_dir, download=download, copy=copy, max_bytes=settings.max_model_cache_bytes)
