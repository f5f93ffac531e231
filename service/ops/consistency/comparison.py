"""Comparison of rows and objects: artifacts whose files are missing or differ, and objects that no row names.

Objects are listed before their rows are read, because every object is written after the row that names it, except for the file of
a data set; what looks wrong is compared again with fresh rows, because service, workers and garbage collection may be running.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from service.contract.artifacts import MANIFEST_NAME, artifact_prefix, blocks_prefix, job_prefix
from service.contract.datasets import UPLOADS
from service.database.engine import Database
from service.database.tables.datasets import UploadedDataset
from service.ops.consistency import repository
from service.ops.consistency.hashes import Hashes
from service.ops.consistency.repository import Owner
from service.storage.artifact_store import ArtifactStore
from service.storage.manifests import manifest_at

_JOBS: Final = "jobs"
_FOLDER: Final = re.compile(r"jobs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
_BATCH: Final = 500
_AT_ONCE: Final = 8
_SAMPLE: Final = 20
_GRACE: Final = timedelta(hours=1)
"""Age from which the file of a data set must have a row."""


@dataclass(frozen=True)
class Damage:
    """Row whose objects are missing or differ."""

    id: UUID
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Orphan:
    """Objects that no row names: of a job, of one of its attempts, or of a data set."""

    path: str
    files: int
    bytes: int


@dataclass
class Comparison:
    """Result of a comparison."""

    artifacts: int = 0
    """Artifacts compared."""
    hashed: int = 0
    datasets: int = 0
    artifact_damage: list[Damage] = field(default_factory=list)
    dataset_damage: list[Damage] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)


def compare(database: Database, store: ArtifactStore, hashes: Hashes = Hashes.NONE) -> Comparison:
    """Compare all rows with all objects. Raise StoreUnavailable, or SQLAlchemyError."""
    with database.begin() as session:
        sample = repository.sample(session, _SAMPLE) if hashes == Hashes.SAMPLE else set()
    found = Comparison()
    stored = _stored_jobs(store)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="compare") as threads:
        for start in range(0, len(stored), _BATCH):
            for each in threads.map(
                lambda pair: _Job(database, store, pair, is_hashed=hashes == Hashes.ALL or pair[0] in sample).compared(),
                _owned(database, stored[start : start + _BATCH]),
            ):
                found.artifacts += each.artifacts
                found.hashed += each.hashed
                found.artifact_damage += each.artifact_damage
                found.orphans += each.orphans
    _find_lost(database, set(stored), found)
    _compare_datasets(database, store, found)
    return found


def _stored_jobs(store: ArtifactStore) -> list[UUID]:
    matches = (_FOLDER.fullmatch(folder) for folder in store.folders_below(_JOBS))
    return sorted(UUID(match[1]) for match in matches if match)


def _owned(database: Database, job_ids: Sequence[UUID]) -> list[tuple[UUID, Owner | None]]:
    with database.begin() as session:
        known = repository.owners(session, job_ids)
    return [(job_id, known.get(job_id)) for job_id in job_ids]


class _Job:
    """Comparison of one job that has objects in the store."""

    def __init__(self, database: Database, store: ArtifactStore, pair: tuple[UUID, Owner | None], *, is_hashed: bool) -> None:
        self._database, self._store = database, store
        self._id, self._owner = pair
        self._is_hashed = is_hashed

    def compared(self) -> Comparison:
        """Compare the objects with the job's rows, twice if something is wrong."""
        sizes = self._store.sizes_below(job_prefix(self._id))
        if self._owner is not None and not self._orphans(sizes) and self._damage(sizes) is None:
            return Comparison(artifacts=self._owner.artifact is not None, hashed=self._has_hashed())
        [(_, self._owner)] = _owned(self._database, [self._id])
        sizes = self._store.sizes_below(job_prefix(self._id))
        reason = self._damage(sizes)
        damage = [Damage(self._id, str(self._id), reason)] if reason else []
        checked = self._owner is not None and self._owner.artifact is not None
        return Comparison(checked, self._has_hashed(), artifact_damage=damage, orphans=self._orphans(sizes))

    def _has_hashed(self) -> bool:
        return self._is_hashed and self._owner is not None and self._owner.artifact is not None

    def _orphans(self, sizes: dict[str, int]) -> list[Orphan]:
        owner = self._owner
        if owner is None:
            return [Orphan(job_prefix(self._id), len(sizes), sum(sizes.values()))] if sizes else []
        named = {blocks_prefix(self._id), owner.artifact, *(artifact_prefix(self._id, fence) for fence in owner.fences)}
        parts: dict[str, list[int]] = {}
        for path, size in sizes.items():
            folder = "/".join(path.split("/")[:3])
            if folder not in named:
                parts.setdefault(folder, []).append(size)
        return [Orphan(path, len(found), sum(found)) for path, found in parts.items()]

    def _damage(self, sizes: dict[str, int]) -> str | None:
        if self._owner is None or self._owner.artifact is None:
            return None
        prefix = self._owner.artifact
        if f"{prefix}/{MANIFEST_NAME}" not in sizes:
            return f"{MANIFEST_NAME} is missing"
        try:
            manifest = manifest_at(self._store, prefix)
        except FileNotFoundError:
            return f"{MANIFEST_NAME} cannot be read"
        if manifest.job_id != str(self._id):
            return f"{MANIFEST_NAME} is that of job {manifest.job_id}"
        for file in manifest.files:
            size = sizes.get(f"{prefix}/{file.path}")
            if size is None:
                return f"{file.path} is missing"
            if size != file.bytes:
                return f"{file.path} has {size} bytes instead of {file.bytes}"
        differing = (file.path for file in manifest.files if self._store.sha256(f"{prefix}/{file.path}") != file.sha256)
        path = next(differing, None) if self._is_hashed else None
        return f"the SHA-256 of {path} is not that of the manifest" if path else None


def _find_lost(database: Database, stored: set[UUID], found: Comparison) -> None:
    """Find the artifacts of jobs that have no objects at all."""
    for batch in repository.artifacts(database):
        for job_id, owner in _owned(database, [each for each in batch if each not in stored]):
            if owner is not None and owner.artifact is not None:
                found.artifacts += 1
                found.artifact_damage.append(Damage(job_id, str(job_id), "all files are missing"))


def _compare_datasets(database: Database, store: ArtifactStore, found: Comparison) -> None:
    old = {path for batch in store.files_below(UPLOADS, before=datetime.now(UTC) - _GRACE) for path in batch}
    with database.begin() as session:
        known = repository.datasets(session)
    sizes = store.sizes_below(UPLOADS)
    found.datasets = len(known)
    found.dataset_damage += _dataset_damage(known, sizes)
    unnamed = sorted(path for path in old & sizes.keys() if path not in known)
    with database.begin() as session:
        named = repository.paths_of_datasets(session, unnamed)
    found.orphans += [Orphan(path, 1, sizes[path]) for path in unnamed if path not in named]


def _dataset_damage(known: dict[str, UploadedDataset], sizes: dict[str, int]) -> Iterator[Damage]:
    for path, row in known.items():
        if path not in sizes:
            yield Damage(row.upload_id, f"{row.id} of {row.tenant}", "its file is missing")
