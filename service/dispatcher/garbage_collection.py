"""Garbage collection: leftover files in the artifact store, expired artifacts, deleted jobs and data sets, workers silent for a
day, expired sessions and idempotency keys, and old entries of the webhook, trigger and audit logs.

It runs in its own thread, because the store may be slow or unreachable. Several dispatchers may collect concurrently.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from service.artifacts import repository
from service.contract.artifacts import artifact_prefix, blocks_prefix, job_prefix
from service.database.engine import TRANSIENT, Database
from service.dispatcher.abandoned_uploads import abort_abandoned
from service.dispatcher.datasets import remove_orphans, sweep_deleted
from service.dispatcher.metrics import ARTIFACTS_EXPIRED, FILES_REMOVED, GC_ROUNDS, STORE_MISMATCH
from service.idempotency import repository as idempotency
from service.logging import get_logger
from service.ops import installation
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreUnavailable
from service.storage.open_uploads import OpenUploads
from service.storage.opening import open_at
from service.tenants.audit import repository as audit
from service.tenants.sessions import repository as sessions
from service.triggers import repository as triggers
from service.webhooks import repository as webhooks
from service.workers import repository as workers

log = get_logger(__name__)

_FORGET_WORKERS_SECONDS: Final = 86_400.0


class GarbageCollector:
    """Periodic garbage collector."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_address, pool_size=1)
        self._store = ArtifactStore(settings.artifact_url)
        self._uploads = OpenUploads(open_at(settings.artifact_url))
        self._next_look_at_uploads = time.monotonic() + settings.upload_sweep_seconds
        self._mismatch: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Collect every `sweep_seconds` until `stop` is set; outages of database and store postpone a round."""
        while not stop.wait(self._settings.sweep_seconds):
            try:
                self.sweep()
                GC_ROUNDS.labels("done").inc()
            except (*TRANSIENT, StoreUnavailable, OSError) as error:
                GC_ROUNDS.labels("postponed").inc()
                log.warning("garbage_collection_postponed", error=type(error).__name__)
            except Exception:
                GC_ROUNDS.labels("postponed").inc()
                log.exception("garbage_collection_failed")
        self._database.close()

    def sweep(self) -> None:
        """Apply every retention rule once; delete nothing from a store that belongs to another database."""
        if self._owns_store():
            self._expire_artifacts()
            self._repeat(self._sweep_attempts)
            self._repeat(self._sweep_blocks)
            self._repeat(self._sweep_deleted)
            self._repeat(lambda: sweep_deleted(self._database, self._store))
            self._look_at_uploads()
        with self._database.begin() as session:
            workers.forget(session, silent_seconds=_FORGET_WORKERS_SECONDS)
            webhooks.forget(session, keep_seconds=self._settings.keep_deliveries_seconds)
            triggers.forget(session, keep_seconds=self._settings.keep_firings_seconds)
            idempotency.forget(session)
            sessions.forget(session)
            audit.forget(session, keep_seconds=self._settings.keep_audit_seconds)

    def _owns_store(self) -> bool:
        installation.copy_to(self._store, self._database)
        mismatch = installation.mismatch(self._database, self._store)
        if mismatch and mismatch != self._mismatch:
            log.warning("nothing_deleted_from_store", because=mismatch, remedy=installation.REMEDY)
        self._mismatch = mismatch
        STORE_MISMATCH.set(mismatch is not None)
        return mismatch is None

    def _expire_artifacts(self) -> None:
        keep_seconds, max_bytes = self._settings.keep_artifacts_seconds, self._settings.max_artifact_bytes
        with self._database.begin() as session:
            old = repository.expire_by_age(session, keep_seconds=keep_seconds) if keep_seconds is not None else ()
            beyond = repository.expire_by_quota(session, max_bytes=max_bytes) if max_bytes is not None else ()
        for job_id, reason in [*((job_id, "age") for job_id in old), *((job_id, "quota") for job_id in beyond)]:
            ARTIFACTS_EXPIRED.labels(reason).inc()
            log.info("artifact_expired", job_id=str(job_id), reason=reason)

    def _sweep_attempts(self) -> int:
        with self._database.begin() as session:
            found = repository.unswept_attempts(session, grace_seconds=self._settings.lease_seconds)
        for job_id, fence in found:
            count = self._remove(artifact_prefix(job_id, fence), "attempt")
            with self._database.begin() as session:
                repository.attempt_swept(session, job_id, fence)
            if count:
                log.info("attempt_swept", job_id=str(job_id), fence=fence, files=count)
        return len(found)

    def _sweep_blocks(self) -> int:
        grace, keep = self._settings.lease_seconds, self._settings.keep_blocks_seconds
        with self._database.begin() as session:
            found = repository.jobs_with_blocks(session, grace_seconds=grace, keep_seconds=keep)
        for job_id in found:
            count = self._remove(blocks_prefix(job_id), "blocks")
            with self._database.begin() as session:
                repository.blocks_removed(session, job_id)
            if count:
                log.info("blocks_swept", job_id=str(job_id), files=count)
        return len(found)

    def _look_at_uploads(self) -> None:
        """Abort abandoned uploads, less often than the rest, because this lists all open uploads and data sets of the bucket."""
        if time.monotonic() >= self._next_look_at_uploads:
            self._next_look_at_uploads = time.monotonic() + self._settings.upload_sweep_seconds
            abort_abandoned(self._database, self._uploads)
            keep_seconds = self._settings.keep_orphans_seconds
            remove_orphans(self._database, self._store, self._uploads, keep_seconds=keep_seconds)

    def _sweep_deleted(self) -> int:
        with self._database.begin() as session:
            found = repository.deleted_jobs(session, grace_seconds=self._settings.lease_seconds)
        for job_id in found:
            count = self._remove(job_prefix(job_id), "job")
            with self._database.begin() as session:
                repository.forget(session, job_id)
            log.info("job_deleted", job_id=str(job_id), files=count)
        return len(found)

    def _remove(self, prefix: str, kind: str) -> int:
        count = self._store.remove(prefix)
        FILES_REMOVED.labels(kind).inc(count)
        return count

    def _repeat(self, rule: Callable[[], int]) -> None:
        """Apply a rule, which handles one batch, until nothing is left."""
        while rule():
            pass
