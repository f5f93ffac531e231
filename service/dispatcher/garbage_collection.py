"""Garbage collection: leftover files in the artifact store, jobs, artifacts and figures past their retention, deleted jobs and
data sets, workers silent for a day, ended keys, expired sessions, sign-in links and idempotency keys, old checks of models, old
log lines of jobs, and old entries of the webhook, trigger and audit logs.

It runs in its own thread, because the store may be slow or unreachable. Several dispatchers may collect concurrently.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from service.artifacts import repository
from service.contract.artifacts import artifact_prefix, blocks_prefix, job_prefix
from service.database.engine import TRANSIENT, Database
from service.datasets import repository as datasets
from service.dispatcher.abandoned_uploads import abort_abandoned
from service.dispatcher.datasets import abort_stale, remove_orphans, sweep_deleted
from service.dispatcher.metrics import ARTIFACTS_EXPIRED, FILES_REMOVED, GC_ROUNDS, JOBS_EXPIRED, STORE_MISMATCH
from service.idempotency import repository as idempotency
from service.jobs.logs import repository as logs
from service.jobs.retention import repository as retention
from service.logging import get_logger
from service.models.checks import repository as model_checks
from service.ops import installation
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreRefused, StoreUnavailable
from service.storage.open_uploads import OpenUploads, UploadsRefused
from service.storage.opening import open_at
from service.sweeps import repository as sweeps
from service.tenants.audit import repository as audit
from service.tenants.keys import repository as keys
from service.tenants.sessions import repository as sessions
from service.triggers import repository as triggers
from service.webhooks import repository as webhooks
from service.workers import repository as workers

log = get_logger(__name__)

_FORGET_WORKERS_SECONDS: Final = 86_400.0
_BATCHES: Final = 50
"""Batches of one rule in one round, so that a rule with much to do does not hold up the others."""
_RULE_SECONDS: Final = 20.0
"""Time after which a rule begins no further batch in a round, however slow database and store are."""
_OUTAGES: Final = (*TRANSIENT, StoreUnavailable, OSError)

Found = TypeVar("Found")


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
        """Collect every `sweep_seconds` until `stop` is set; outages of database and store postpone rules."""
        while not stop.wait(self._settings.sweep_seconds):
            GC_ROUNDS.labels("done" if self.sweep() else "postponed").inc()
        self._database.close()

    def sweep(self) -> bool:
        """Apply every retention rule once, each independently of the others; return whether none has failed.

        Nothing is deleted from a store that belongs to another database.
        """
        done = [self._succeeds(rule) for rule in self._rules_of_rows()]
        owned: list[bool] = []
        done.append(self._succeeds(lambda: owned.append(self._owns_store())))
        if owned == [True]:
            done += [self._succeeds(rule) for rule in self._rules_of_files()]
        return all(done)

    def _succeeds(self, rule: Callable[[], object]) -> bool:
        try:
            rule()
        except UploadsRefused as error:
            log.warning("uploads_not_aborted", because=str(error), remedy=error.REMEDY)
            return True
        except _OUTAGES as error:
            log.warning("garbage_collection_postponed", error=type(error).__name__)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of the store's library, written in Rust, is no Exception
            log.exception("garbage_collection_failed")
        else:
            return True
        return False

    def _rules_of_rows(self) -> Sequence[Callable[[], None]]:
        kept = self._settings
        forget: Sequence[Callable[[Session], int]] = (
            partial(retention.remove_layers, keep_seconds=kept.keep_layers_seconds),
            partial(sweeps.forget, keep_seconds=kept.keep_jobs_seconds),
            partial(workers.forget, silent_seconds=_FORGET_WORKERS_SECONDS),
            partial(logs.forget, keep_seconds=kept.keep_logs_seconds),
            partial(webhooks.forget, keep_seconds=kept.keep_deliveries_seconds),
            partial(triggers.forget, keep_seconds=kept.keep_firings_seconds),
            triggers.forget_unfired,
            idempotency.forget,
            model_checks.forget,
            sessions.forget,
            sessions.forget_links,
            partial(audit.forget, keep_seconds=kept.keep_audit_seconds),
            partial(keys.forget, keep_seconds=kept.keep_audit_seconds),
        )
        return [partial(self._forget, rule) for rule in forget]

    def _forget(self, rule: Callable[[Session], int]) -> None:
        for _ in _batches():
            with self._database.begin() as session:
                if not rule(session):
                    return

    def _rules_of_files(self) -> Sequence[Callable[[], object]]:
        grace, keep = self._settings.lease_seconds, self._settings.keep_blocks_seconds
        rules: list[Callable[[], object]] = [
            self._expire_jobs,
            self._expire_artifacts,
            lambda: self._sweep(partial(repository.unswept_attempts, grace_seconds=grace), self._sweep_attempt),
            lambda: self._sweep(partial(repository.jobs_with_blocks, grace_seconds=grace, keep_seconds=keep), self._sweep_blocks),
            lambda: self._sweep(partial(repository.deleted_jobs, grace_seconds=grace), self._sweep_deleted),
            lambda: self._sweep(datasets.deleted, partial(sweep_deleted, self._database, self._store)),
        ]
        if time.monotonic() >= self._next_look_at_uploads:  # less often, because this lists all uploads and data sets
            self._next_look_at_uploads = time.monotonic() + self._settings.upload_sweep_seconds
            keep_orphans = self._settings.keep_orphans_seconds
            rules += [
                partial(abort_abandoned, self._database, self._uploads),
                partial(abort_stale, self._uploads),
                partial(remove_orphans, self._database, self._store, keep_seconds=keep_orphans),
            ]
        return rules

    def _sweep(self, find: Callable[..., Sequence[Found]], remove: Callable[[Found], None]) -> None:
        """Remove the files of what `find` returns, in batches; what the store refuses to delete is skipped in this round."""
        refused = 0
        for _ in _batches():
            with self._database.begin() as session:
                batch = find(session, skip=refused)
            for found in batch:
                try:
                    remove(found)
                except StoreRefused:
                    refused += 1
            if not batch:
                break
        if refused:
            log.warning("deletion_refused", count=refused, remedy=StoreRefused.REMEDY)

    def _owns_store(self) -> bool:
        installation.copy_to(self._store, self._database)
        mismatch = installation.mismatch(self._database, self._store)
        if mismatch and mismatch != self._mismatch:
            log.warning("nothing_deleted_from_store", because=mismatch, remedy=installation.REMEDY)
        self._mismatch = mismatch
        STORE_MISMATCH.set(mismatch is not None)
        return mismatch is None

    def _expire_jobs(self) -> None:
        for _ in _batches():
            with self._database.begin() as session:
                expired = retention.expire_by_age(session, keep_seconds=self._settings.keep_jobs_seconds)
            if not expired:
                return
            JOBS_EXPIRED.inc(len(expired))
            log.info("jobs_past_retention_deleted", count=len(expired))

    def _expire_artifacts(self) -> None:
        keep_seconds, max_bytes = self._settings.keep_artifacts_seconds, self._settings.max_artifact_bytes
        self._expire("age", partial(repository.expire_by_age, keep_seconds=keep_seconds))
        if max_bytes is not None:
            self._expire("quota", partial(repository.expire_by_quota, max_bytes=max_bytes))

    def _expire(self, reason: str, rule: Callable[[Session], Sequence[UUID]]) -> None:
        for _ in _batches():
            with self._database.begin() as session:
                expired = rule(session)
            for job_id in expired:
                ARTIFACTS_EXPIRED.labels(reason).inc()
                log.info("artifact_expired", job_id=str(job_id), reason=reason)
            if not expired:
                return

    def _sweep_attempt(self, attempt: tuple[UUID, int]) -> None:
        job_id, fence = attempt
        count = self._remove(artifact_prefix(job_id, fence), "attempt")
        with self._database.begin() as session:
            repository.attempt_swept(session, job_id, fence)
        if count:
            log.info("attempt_swept", job_id=str(job_id), fence=fence, files=count)

    def _sweep_blocks(self, job_id: UUID) -> None:
        count = self._remove(blocks_prefix(job_id), "blocks")
        with self._database.begin() as session:
            repository.blocks_removed(session, job_id)
        if count:
            log.info("blocks_swept", job_id=str(job_id), files=count)

    def _sweep_deleted(self, job_id: UUID) -> None:
        count = self._remove(job_prefix(job_id), "job")
        with self._database.begin() as session:
            repository.forget(session, job_id)
        log.info("job_deleted", job_id=str(job_id), files=count)

    def _remove(self, prefix: str, kind: str) -> int:
        count = self._store.remove(prefix)
        FILES_REMOVED.labels(kind).inc(count)
        return count


def _batches() -> Iterator[int]:
    """Return the numbers of the batches that one rule may take in one round, at least one."""
    until = time.monotonic() + _RULE_SECONDS
    return takewhile(lambda number: number == 0 or time.monotonic() < until, range(_BATCHES))
