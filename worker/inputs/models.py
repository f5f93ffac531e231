"""Resolution of a job's model to a checked folder on this machine.

No part of a model is used before `check_checkpoint`: only JSON and safetensors are read, and the model's own code never runs.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from obstore.store import ObjectStore

from service.contract import bounded_json
from service.contract.checkpoint_files import (
    CONFIGS,
    companions,
    left_out_sentence,
    reason_against_adapter,
    reason_against_cache,
    reason_against_link,
)
from service.contract.checkpoints import MAX_INDEX_BYTES, reason_against_code, reason_against_name
from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from service.settings import Settings
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.checkpoint.source_files import source_digest
from worker.engine.errors import ModelUnsafe
from worker.failures import ModelError
from worker.inputs import hub_download as hub
from worker.inputs import job_artifact as earlier_job

_FRONT_MATTER = re.compile(r"\s*---\r?\n(.*?)\n---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
"""YAML at the head of a model card, as the hub reads it."""
_MAX_FRONT_MATTER = 64 << 10  # bytes


@dataclass(frozen=True)
class Model:
    """A checkpoint that has passed the checks."""

    id: str
    path: Path
    revision: str | None
    """Commit of a hub model, fence of an earlier job's artifact, or fingerprint of a local model's files."""
    license: str | None
    """Licence, as the source's own model card states it."""
    base_model: str | None
    """Hub id for the new model card; None if unknown."""
    notes: tuple[str, ...] = ()
    """Sentences on files that the artifact leaves out or changes, for the job's warnings."""


def resolve(
    model: ModelSpec,
    settings: Settings,
    *,
    tenant: str,
    store: ObjectStore | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Model:
    """Find the model, fetch it from the hub or, for an earlier job's artifact, from `store`, and check it.

    Raises:
        ModelError: it does not exist, may not be read, or is unsafe; or (code `hub-unavailable`, a retry can help) the
            hub cannot be reached.
    """
    if model.source == "hub":
        snapshot = hub.fetch(model, settings, tenant=tenant)
        checkpoint = check_checkpoint(snapshot.path, inside=snapshot.repository)
        notes = _notes(checkpoint, snapshot.names)
        return Model(model.id, snapshot.path, snapshot.commit, _card_field(snapshot.path, "license"), model.id, notes)
    if model.source == "job":
        assert store is not None
        path = earlier_job.fetch(model, store, settings, tick)
        check_checkpoint(path, inside=path)
        return Model(f"job {model.id}", path, model.revision, _card_field(path, "license"), _card_field(path, "base_model"))
    path = _local_folder(model.id, settings)
    checkpoint = check_checkpoint(path, inside=path)
    if model.revision is not None and source_digest(checkpoint, tick) != model.revision:
        detail = f"The local model {model.id} has other files than those of model.revision; restore them, or leave the field out."
        raise ModelError(FailureCode.MODEL_NOT_FOUND, detail)
    cards, notes = (_card_field(path, "license"), _card_field(path, "base_model")), _notes(checkpoint, _files(path))
    return Model(model.id, path, _fingerprint(checkpoint), *cards, notes)


def check_checkpoint(folder: Path, *, inside: Path) -> Checkpoint:
    """Check a folder before anything in it is used; links may lead to `inside` and nowhere else.

    Raises:
        ModelError: not a checkpoint, a link that leads out, a name that no artifact can have, a device or pipe, model-specific
            code, or weights that are not safetensors.
    """
    _check_files(folder, inside.resolve())
    names = _files(folder)
    if reason := reason_against_adapter(names) or ("config.json" not in names and reason_against_cache(folder)):
        raise ModelError(FailureCode.MODEL_UNSAFE, reason)
    if "config.json" not in names:
        raise ModelError(FailureCode.MODEL_NOT_FOUND, "The model has no config.json, so it is not a checkpoint.")
    try:
        checkpoint = Checkpoint(folder)
        if reason := reason_against_code(checkpoint.config):
            raise ModelUnsafe(reason)
        return checkpoint
    except ModelUnsafe as error:
        raise ModelError(FailureCode.MODEL_UNSAFE, str(error)) from error
    except FileNotFoundError as error:
        raise ModelError(FailureCode.MODEL_NOT_FOUND, str(error)) from error


def _local_folder(model_id: str, settings: Settings) -> Path:
    try:
        return settings.local_model(model_id)
    except FileNotFoundError:
        raise ModelError(FailureCode.MODEL_NOT_FOUND, f"There is no local model {model_id}.") from None
    except (ValueError, OSError):
        raise ModelError(FailureCode.MODEL_ACCESS_DENIED, f"The local model {model_id} is not below the model root.") from None


def _check_files(folder: Path, inside: Path) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise ModelError(FailureCode.MODEL_UNSAFE, reason_against_link(name))
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelError(FailureCode.MODEL_UNSAFE, f"{name!r} is neither a file nor a folder; remove it.")
        if reason := reason_against_name(name):
            raise ModelError(FailureCode.MODEL_UNSAFE, reason)


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _notes(checkpoint: Checkpoint, names: Iterable[str]) -> tuple[str, ...]:
    """Return sentences on files of the source, by name, that the artifact leaves out, and on configs that it changes."""
    left_out = left_out_sentence(companions(names, checkpoint.weight_files).left_out)
    coded = [name for name in CONFIGS if (checkpoint.folder / name).is_file() and _has_code(checkpoint.folder / name)]
    known = f"The artifact's {' and '.join(coded)} have no auto_map: transformers knows the model's type without code of its own."
    return tuple(note for note in (left_out, known if coded else None) if note)


def _has_code(path: Path) -> bool:
    """Return whether a config names code of the model's own. ModelError if it is too large to be read."""
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ModelError(FailureCode.MODEL_UNSAFE, f"{path.name} is larger than {MAX_INDEX_BYTES >> 20} MiB.")
    try:
        return any(key == "auto_map" for key, _ in bounded_json.walk(bounded_json.loads(path.read_bytes())))
    except bounded_json.InvalidJson:
        return False


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Return a SHA-256 that identifies the state of the checkpoint without reading its weights.

    It covers config and index, and of each shard the name, size, modification time and header.
    """
    digest = hashlib.sha256()
    for name in ("config.json", checkpoint.index):
        digest.update(repr((name, checkpoint.path(name).read_bytes() if name else None)).encode())
    for shard in checkpoint.shards:
        status = checkpoint.path(shard).stat()
        digest.update(repr((shard, status.st_size, status.st_mtime_ns)).encode())
    digest.update(repr(sorted(checkpoint.tensors.items())).encode())
    return digest.hexdigest()


def _card_field(folder: Path, field: str) -> str | None:
    """Return a field of the source's model card (README.md) if it is one plain string, else None.

    The YAML is only parsed into nodes: constructing values would expand aliases and merge keys, which can take any time.
    """
    card = folder / "README.md"
    try:
        front = _FRONT_MATTER.match(card.read_bytes()[:_MAX_FRONT_MATTER].decode(errors="ignore")) if card.is_file() else None
        root = yaml.compose(front[1], Loader=yaml.SafeLoader) if front else None
    except (OSError, yaml.YAMLError, RecursionError, ValueError):  # a broken card counts as missing
        return None
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    values = [value.value for key, value in entries if key.value == field and value.tag == "tag:yaml.org,2002:str"]
    return next((value for value in values if 0 < len(value) <= 128 and value.isprintable()), None)
