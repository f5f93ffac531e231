"""Garbage collection of data set files: of deleted data sets, and of uploads that failed before their row was committed."""

from datetime import UTC, datetime, timedelta
from typing import Final

from service.database.engine import Database
from service.datasets import repository
from service.dispatcher.metrics import FILES_REMOVED, UPLOADS_ABORTED
from service.logging import get_logger
from service.storage.artifact_store import ArtifactStore
from service.storage.open_uploads import OpenUploads

log = get_logger(__name__)

_PREFIX: Final = "datasets"
_GRACE: Final = timedelta(hours=1)
"""Minimum age of a stray file: a row follows its file within one transaction; the rest allows for clock skew."""


def sweep_deleted(database: Database, store: ArtifactStore) -> int:
    """Remove the files of a batch of deleted data sets, then their rows; return their number."""
    with database.begin() as session:
        found = repository.deleted(session)
    for upload_id, path in found:
        store.delete(path)
        with database.begin() as session:
            repository.forget(session, upload_id)
        FILES_REMOVED.labels("dataset").inc()
        log.info("dataset_swept", path=path)
    return len(found)


def remove_orphans(database: Database, store: ArtifactStore, uploads: OpenUploads) -> int:
    """Remove files and multipart uploads left by failed uploads; return the number of files."""
    before = datetime.now(UTC) - _GRACE
    for upload in [each for each in uploads.below(_PREFIX) if each.began < before]:
        uploads.abort(upload)
        UPLOADS_ABORTED.inc()
    count = store.remove_dead_parts(_PREFIX, before=before)
    for paths in store.files_below(_PREFIX, before=before):
        with database.begin() as session:
            named = repository.named(session, paths)
        for path in set(paths) - named:
            store.delete(path)
            count += 1
    FILES_REMOVED.labels("dataset").inc(count)
    if count:
        log.info("orphaned_datasets_removed", files=count)
    return count
