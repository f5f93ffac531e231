"""Findings of the comparison of database and artifact store, and its repair."""

from collections.abc import Iterator, Sequence
from typing import Final

from service.database.engine import Database
from service.kit.quantities import size
from service.ops import installation
from service.ops.consistency.comparison import Comparison, Damage, compare
from service.ops.consistency.hashes import Hashes
from service.ops.consistency.repair import mark_missing, remove_orphans
from service.ops.doctor.findings import Finding, fail, ok
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore

_SHOWN: Final = 5
_ANSWER_SECONDS: Final = 60.0
_MARK: Final = "restore the files, or mark them as removed: dsnot doctor --deep --mark-missing"
_REMOVE: Final = "restore a newer database, or remove them: dsnot doctor --deep --remove-orphans"


def examine_store(
    settings: Settings, *, hashes: Hashes, removes: bool = False, marks: bool = False, is_dry: bool = False
) -> tuple[list[Finding], list[str]]:
    """Compare rows and objects, and repair what is to be repaired; return what is wrong then, and what was or would be done.

    Nothing is compared, and nothing changed, if the store belongs to another database.
    """
    database = Database(settings.database_address, pool_size=10, answer_seconds=_ANSWER_SECONDS)
    store = ArtifactStore(settings.artifact_url)
    try:
        if foreign := _foreign(database, store):
            return [foreign], []
        found = compare(database, store, hashes)
        done = list(_repaired(database, store, found, removes=removes, marks=marks, is_dry=is_dry))
        return findings(found if is_dry or not done else compare(database, store, hashes)), done
    finally:
        database.close()


def _foreign(database: Database, store: ArtifactStore) -> Finding | None:
    if installation.in_store(store) is None:
        return None
    mismatch = installation.mismatch(database, store)
    return fail("objects", f"{mismatch}; nothing was compared or changed", installation.REMEDY) if mismatch else None


def _repaired(
    database: Database, store: ArtifactStore, found: Comparison, *, removes: bool, marks: bool, is_dry: bool
) -> Iterator[str]:
    would = "would be " if is_dry else ""
    if marks and (damage := [*found.artifact_damage, *found.dataset_damage]):
        count = len(damage) if is_dry else mark_missing(database, found)
        yield f"{count} artifacts and data sets {would}marked as removed: {_first(damage)}"
    if removes and found.orphans:
        files, total = sum(each.files for each in found.orphans), sum(each.bytes for each in found.orphans)
        count = files if is_dry else remove_orphans(database, store, found.orphans)
        yield f"{count} objects {would}removed, {size(total)}: {_first([each.path for each in found.orphans])}"


def findings(found: Comparison) -> list[Finding]:
    """Return the findings of a comparison, with counts and the first names."""
    hashed = f", {found.hashed} also by SHA-256" if found.hashed else ""
    return [
        _damaged("artifacts", found.artifact_damage, f"{found.artifacts} artifacts compared by size{hashed}"),
        _damaged("data sets", found.dataset_damage, f"{found.datasets} data sets have their files"),
        _orphaned(found),
    ]


def _damaged(check: str, damage: Sequence[Damage], compared: str) -> Finding:
    if not damage:
        return ok(check, compared)
    return fail(check, f"{len(damage)} without their files: {_first(damage)}", _MARK)


def _orphaned(found: Comparison) -> Finding:
    if not found.orphans:
        return ok("objects", "rows name all objects")
    files, total = sum(each.files for each in found.orphans), sum(each.bytes for each in found.orphans)
    paths = _first([each.path for each in found.orphans])
    return fail("objects", f"{files} objects that no row names, {size(total)}: {paths}", _REMOVE)


def _first(names: Sequence[object]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(str(name) for name in names[:_SHOWN]) + more
