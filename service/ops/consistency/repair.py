"""Repair of what a comparison has found, by explicit command: nothing else deletes objects that no row names."""

from collections.abc import Sequence
from uuid import UUID

from service.database.engine import Database
from service.ops.consistency import repository
from service.ops.consistency.comparison import Comparison, Orphan
from service.storage.artifact_store import ArtifactStore


def remove_orphans(database: Database, store: ArtifactStore, orphans: Sequence[Orphan]) -> int:
    """Remove the objects that no row names, unless a row names them by now; return the number of removed files.

    Raises:
        StoreRefused, StoreUnavailable: the objects before this one have been removed.
    """
    removed = 0
    for orphan in orphans:
        if _is_named(database, orphan.path):
            continue
        if orphan.path.startswith("jobs/"):
            removed += store.remove(orphan.path)
        else:
            store.delete(orphan.path)
            removed += 1
    return removed


def _is_named(database: Database, path: str) -> bool:
    with database.begin() as session:
        if not path.startswith("jobs/"):
            return bool(repository.paths_of_datasets(session, [path]))
        _, job_id, *rest = path.split("/")
        owner = repository.owners(session, [UUID(job_id)]).get(UUID(job_id))
    if owner is None or not rest:
        return owner is not None
    return path == owner.artifact or rest[0] in {str(fence) for fence in owner.fences}


def mark_missing(database: Database, found: Comparison) -> int:
    """Mark the damaged artifacts as removed and the data sets without a file as deleted; return their number."""
    with database.begin() as session:
        marked = [repository.mark_artifact_missing(session, damage.id) for damage in found.artifact_damage]
        for damage in found.dataset_damage:
            repository.mark_dataset_missing(session, damage.id)
    return sum(marked) + len(found.dataset_damage)
