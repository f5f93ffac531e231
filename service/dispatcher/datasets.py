"""Garbage collection of data set files: of deleted data sets, and of uploads that failed before their row was committed.

A file without a row may also belong to another database, or be newer than a restored one, so it is quarantined first.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from service.contract.datasets import UPLOADS
from service.database.engine import Database
from service.datasets import repository
from service.dispatcher import quarantine
from service.dispatcher.metrics import FILES_REMOVED, UPLOADS_ABORTED
from service.logging import get_logger
from service.storage.artifact_store import ArtifactStore, StoreRefused
from service.storage.open_uploads import OpenUploads

log = get_logger(__name__)

_GRACE: Final = timedelta(hours=1)
"""Minimum age of a stray file: a row follows its file within one transaction; the rest allows for clock skew."""


def sweep_deleted(database: Database, store: ArtifactStore, deleted: tuple[UUID, str]) -> None:
    """Remove the file of a deleted data set, then its row."""
    upload_id, path = deleted
    store.delete(path)
    with database.begin() as session:
        repository.forget(session, upload_id)
    FILES_REMOVED.labels("dataset").inc()
    log.info("dataset_swept", path=path)


def abort_stale(uploads: OpenUploads) -> None:
    """Abort uploads of data sets that were left incomplete."""
    before = datetime.now(UTC) - _GRACE
    for upload in [each for each in uploads.below(UPLOADS) if each.began < before]:
        uploads.abort(upload)
        UPLOADS_ABORTED.inc()


def remove_orphans(database: Database, store: ArtifactStore, *, keep_seconds: float) -> int:
    """Remove files that no row has named for `keep_seconds`; return their number."""
    before = datetime.now(UTC) - _GRACE
    removed, recorded = store.remove_dead_parts(UPLOADS, before=before), 0
    for paths in store.files_below(UPLOADS, before=before):
        with database.begin() as session:
            named = repository.named(session, paths)
            recorded += quarantine.record(session, orphaned=set(paths) - named, named=named)
            expired = quarantine.expired(session, set(paths) - named, keep_seconds=keep_seconds)
        for path in expired:
            try:
                store.delete(path)
            except StoreRefused as error:
                log.warning("deletion_refused", path=path, remedy=error.REMEDY)
            else:
                removed += 1
    with database.begin() as session:
        quarantine.forget_expired(session, keep_seconds=keep_seconds)
    FILES_REMOVED.labels("dataset").inc(removed)
    if removed or recorded:
        log.info("orphaned_datasets_removed", files=removed, newly_quarantined=recorded)
    return removed
