"""Fetching a checkpoint from the Hugging Face Hub: the files that are needed, at one commit, into the worker's cache."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from service.contract import FailureCode
from service.settings import Settings
from worker.failures import JobFailure, ModelError, is_disk_full
from worker.model_cache import reserve, root

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken"}
_LEGAL = ("license", "licence", "notice", "use_policy")
_TEMPLATES = "additional_chat_templates"
_OTHER_LAYOUTS = "consolidated"  # the same weights once more, under the trainer's own names


@dataclass(frozen=True)
class Snapshot:
    """A commit in the cache."""

    path: Path
    """The folder of the files; they are links."""
    repository: Path
    """The folder of the cache that holds all of this model's commits; the links end in it."""
    commit: str


def fetch(model_id: str, revision: str | None, settings: Settings) -> Snapshot:
    """Resolve `revision` (default: the main branch) to a commit and download it; files that are there are kept.

    The token comes from the environment (`HF_TOKEN`), the hub's address too (`HF_ENDPOINT`).

    Raises:
        ModelError: not found, not allowed, without safetensors; or (code `internal`) the hub cannot be reached.
        JobFailure: `disk-full`, before anything is downloaded.
    """
    from huggingface_hub import HfApi, snapshot_download

    if settings.hub_allow and not any(fnmatchcase(model_id, pattern) for pattern in settings.hub_allow):
        raise ModelError(FailureCode.MODEL_ACCESS_DENIED, f"{model_id} is not on this service's list of hub models.")
    cache = root(settings.cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        info = HfApi().model_info(model_id, revision=revision, timeout=30)
        names = [sibling.rfilename for sibling in info.siblings or [] if is_wanted(sibling.rfilename)]
        if not any(name.endswith(".safetensors") for name in names):
            raise ModelError(FailureCode.MODEL_UNSAFE, f"{model_id} has no safetensors weights; other formats can run code.")
        wanted: dict[str, Any] = {"revision": info.sha, "cache_dir": cache, "allow_patterns": names}
        _reserve_disk(snapshot_download(model_id, **wanted, dry_run=True), settings)
        path = Path(snapshot_download(model_id, **wanted))
    except JobFailure:
        raise
    except Exception as error:  # the client raises its own errors, its HTTP library's, and OSError
        _explain(error, model_id, revision)
    return Snapshot(path, path.parent.parent, path.name)


def _reserve_disk(plan: "list[DryRunFileInfo]", settings: Settings) -> None:
    download = sum(file.file_size or 0 for file in plan if file.will_download)
    copy = sum(file.file_size or 0 for file in plan if file.filename.endswith(".safetensors"))
    reserve(settings.cache_dir, download=download, copy=copy, max_bytes=settings.max_model_cache_bytes)


def is_wanted(name: str) -> bool:
    """Whether a file of a repository belongs to the checkpoint: weights, config, tokenizer, templates, licence, card."""
    path = PurePosixPath(name)
    if any(sign in name for sign in "*?[\\") or any(part.startswith(".") for part in path.parts):
        return False
    if len(path.parts) != 1:
        return len(path.parts) == 2 and path.parts[0] == _TEMPLATES and path.suffix == ".jinja"
    if path.suffix == ".safetensors":
        return not name.startswith(_OTHER_LAYOUTS)
    return path.suffix in _SUFFIXES or name == "README.md" or name.lower().startswith(_LEGAL)


def _explain(error: Exception, model_id: str, revision: str | None) -> NoReturn:
    """Raise what the user is told. Texts of the client are not passed on: they hold URLs and request ids."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if is_disk_full(error):
        raise error
    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else None
    if isinstance(error, RevisionNotFoundError):
        detail = f"{model_id} has no revision {revision or 'main'} on the hub."
        raise ModelError(FailureCode.MODEL_NOT_FOUND, detail) from error
    if isinstance(error, GatedRepoError) or (status in {401, 403} and not isinstance(error, RepositoryNotFoundError)):
        detail = f"The hub does not let this service read {model_id}: ask for access, and set HF_TOKEN for the workers."
        raise ModelError(FailureCode.MODEL_ACCESS_DENIED, detail) from error
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        detail = f"The hub has no model {model_id}, or it is private and this service's token cannot see it."
        raise ModelError(FailureCode.MODEL_NOT_FOUND, detail) from error
    trouble = f"it answered {status}" if status else type(error).__name__
    raise ModelError(FailureCode.INTERNAL, f"The model hub could not be reached for {model_id} ({trouble}).") from error
