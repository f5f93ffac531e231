"""Checks of models that only a worker can make, because they need torch: asked, waited for, and remembered."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from service.contract.model_checks import MAX_CHECKED_BYTES, ModelCheck, SparseFile, SparseFiles
from service.contract.model_spec import ModelSpec
from service.database.engine import Database
from service.kit.safetensors_headers import LENGTH_BYTES
from service.models.checks import repository
from service.models.headers import Files

_LOOK_SECONDS: Final = 0.2


class NotChecked(Exception):
    """Check that was not made; the message says why, and what was not checked."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}, so the model was not built: whether its tensors fit its config, which sequence lengths it takes, "
            "and its exact matrices are not checked."
        )


@dataclass
class RecordedFiles:
    """Files of a model that remember what was read of them."""

    files: Files
    pieces: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, int]:
        """File name → size in bytes."""
        return self.files.sizes

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file, or fewer if it ends before."""
        piece = self.files.read(name, start, end)
        self.pieces.setdefault(name, []).append((start, piece))
        return piece

    def copies(self) -> SparseFiles:
        """Return sparse copies of the files that were read, without weights."""
        return SparseFiles(files={name: self._copy(name, sorted(pieces)) for name, pieces in self.pieces.items()})

    def _copy(self, name: str, pieces: list[tuple[int, bytes]]) -> SparseFile:
        size = self.sizes[name]
        end = size
        if name.endswith(".safetensors"):
            end = LENGTH_BYTES + int.from_bytes(pieces[0][1][:LENGTH_BYTES], "little")
        kept = [(start, piece[: end - start].decode("latin-1")) for start, piece in pieces if start < end]
        return SparseFile(size=size, pieces=kept)


class ModelChecks:
    """Answers of workers about models, kept by revision."""

    def __init__(self, database: Database, *, wait_seconds: float, silent_seconds: float) -> None:
        """Args: silent_seconds: time since its last heartbeat after which a worker is not online."""
        self._database, self._wait_seconds, self._silent_seconds = database, wait_seconds, silent_seconds

    def known(self, model: ModelSpec, files: RecordedFiles | None, *, tenant: str) -> ModelCheck | None:
        """Return the answer for this model, if a worker has given one; of a model without revision, `files` must be read."""
        if _pinned(model) is None and files is None:
            return None
        key = _key(model, files, tenant)
        with self._database.begin() as session:
            return repository.answer_to(session, key)

    def ask(self, model: ModelSpec, files: RecordedFiles, *, tenant: str) -> ModelCheck:
        """Return the answer for this model, whose files were read; wait for it for at most `wait_seconds`. Raises NotChecked."""
        copies = files.copies()
        key = _key(model, files, tenant)
        with self._database.begin() as session:
            if known := repository.answer_to(session, key):
                return known
            if not repository.is_any_worker_online(session, silent_seconds=self._silent_seconds):
                raise NotChecked("No worker is online")
            if sum(len(piece) for copy in copies.files.values() for _, piece in copy.pieces) > MAX_CHECKED_BYTES:
                raise NotChecked(f"Its headers are larger than {MAX_CHECKED_BYTES >> 20} MiB")
            repository.ask(session, key, copies.packed())
        deadline = time.monotonic() + self._wait_seconds
        while time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            with self._database.begin() as session:
                if found := repository.answer_to(session, key):
                    return found
        raise NotChecked(f"No worker has answered within {self._wait_seconds:.0f} s")


def _key(model: ModelSpec, files: RecordedFiles | None, tenant: str) -> str:
    """Return the key of an answer: a revision never changes, and a tenant must not learn of the models of others."""
    where: list[str | None] = [version("dsnot"), model.source]
    if (revision := _pinned(model)) is not None:
        where += [tenant, model.id, revision]
    else:
        assert files is not None
        where.append(files.copies().model_dump_json())
    return hashlib.sha256(json.dumps(where).encode()).hexdigest()


def _pinned(model: ModelSpec) -> str | None:
    """Return the revision; None for a local model, whose revision only the worker compares with the files."""
    return None if model.source == "local" else model.revision
