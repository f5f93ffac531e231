"""One attempt: claim a job, renew its lease, run its stages, and record the outcome.

An attempt leaves behind only the artifact of a success and, while the job has not ended or can be retried, its finished blocks.
The scratch folder is removed, and so are the files that an unsuccessful attempt has published.
"""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from obstore.store import ObjectStore
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from service import tracing
from service.contract.artifacts import artifact_prefix
from service.contract.failures import GPU_LOST, FailureCode
from service.contract.spec import JobSpec
from service.contract.states import AttemptOutcome
from service.database.engine import TRANSIENT, Database
from service.database.reasons import reason_of
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import Claim, StaleFence, claim_next
from service.logging import get_logger
from service.settings import Settings
from worker.attempt.pipeline import prune_and_publish
from worker.devices import DeviceLost, device_class
from worker.failures import as_failure, is_device_lost
from worker.inputs.datasets import Texts
from worker.inputs.model_cache import cached_models, in_use
from worker.inputs.uploaded_datasets import Uploads
from worker.process.metrics import ATTEMPTS_ENDED, FAILURES, PEAK_MEMORY
from worker.process.peak_memory import PeakMemory
from worker.process.registration import worker_id
from worker.publishing.artifact import open_store, sweep
from worker.run import finished_blocks as blocks
from worker.run.context import Run
from worker.run.finished_blocks import Blocks
from worker.run.job_log import JobLog
from worker.run.lease import ClaimLost, Interruption, JobCancelled, JobPaused, Lease, StopRequested
from worker.run.progress import Reporter
from worker.run.scratch import scratch_folder

log = get_logger(__name__)

_CLAIM_AGAIN_SECONDS: Final = 0.5


def work(settings: Settings, stop: threading.Event, worker: str | None = None, message: str | None = None) -> bool:
    """Claim and run the best queued job; return False if there is none.

    Args:
        stop: set when this process has to stop; the job then goes back into the queue.
        worker: the worker's id; by default that of this process, a worker without a parent.
        message: the span (traceparent) of the message that triggered the work.

    Raises:
        DeviceLost: the GPU has failed, and the job is queued again.
    """
    database = Database(settings.database_address, pool_size=4)
    try:
        claim = _claim(database, settings, stop, worker or worker_id(os.getpid()))
        if claim is None:
            return False
        about: dict[str, str | int] = {"job_id": str(claim.job_id), "attempt": claim.attempt, "fence": claim.fence}
        causes = {"request": claim.traceparent, "message": message}
        request = {"request_id": claim.request_id} if claim.request_id else {}
        with bound_contextvars(**about, **request), tracing.consuming("attempt", causes, about):
            _Attempt(claim, database, settings, stop).run()
        return True
    finally:
        database.close()


def _claim(database: Database, settings: Settings, stop: threading.Event, worker: str) -> Claim | None:
    """Claim the best queued job, waiting for the database rather than dropping the message, which would have to be resent."""
    device = device_class(settings.device)
    while not stop.is_set():
        try:
            with database.begin() as session:
                return claim_next(
                    session,
                    worker=worker,
                    device=device,
                    lease_seconds=settings.lease_seconds,
                    cached_models=cached_models(settings.cache_dir),
                )
        except TRANSIENT as error:
            log.warning("claim_failed", reason=reason_of(error))
            stop.wait(_CLAIM_AGAIN_SECONDS)
    return None


def _folders(settings: Settings) -> dict[str, str]:
    """Return what tenants read in a log instead of the paths of this machine."""
    return {str(settings.cache_dir): "<cache>", str(settings.model_root): "<models>"}


class _Attempt:
    """One attempt at a claimed job."""

    def __init__(self, claim: Claim, database: Database, settings: Settings, stop: threading.Event) -> None:
        self._claim = claim
        self._settings = settings
        self._stop = stop
        self._job_id, self._fence = claim.job_id, claim.fence
        self._lease = Lease(database, claim, settings, stop, end_stuck=self._interrupted)
        self._memory = PeakMemory.start(settings.device)
        self._reporter = Reporter(database, claim, self._lease, self._memory)
        self._log = JobLog(database, claim, lambda: self._reporter.stage, _folders(settings))
        self._database = database
        self._store: ObjectStore | None = None
        self._blocks: Blocks | None = None
        self._may_have_succeeded = False

    def run(self) -> None:
        with self._lease, self._log:
            try:
                log.info("job_claimed")
                self._prune()
            except StaleFence as error:
                self._interrupted(ClaimLost(str(error)))
            except Interruption as reason:
                self._interrupted(reason)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # the panics of Rust libraries are no Exception
                self._failed(error)
                if is_device_lost(error):
                    raise DeviceLost from None
            finally:
                self._reporter.close()

    def _prune(self) -> None:
        spec = JobSpec.model_validate(self._claim.spec)
        self._store = open_store(self._settings)
        self._forget_ended_jobs()
        cache_dir = self._settings.cache_dir
        self._blocks = Blocks(cache_dir, self._store, self._job_id, also_from=self._claim.retry_of)
        scratch = scratch_folder(cache_dir, self._job_id, self._fence)
        texts = Texts(cache_dir / "datasets", Uploads(self._store, self._claim.tenant, cache_dir))
        with in_use(cache_dir, spec.model), scratch as folder, self._blocks as kept:
            about = str(self._job_id), self._claim.tenant, self._fence, spec
            run = Run(*about, self._settings, folder, self._store, texts, kept, self._reporter, self._memory)
            metrics = prune_and_publish(run)
        self._succeeded(metrics)

    def _forget_ended_jobs(self) -> None:
        """Remove local blocks of jobs that have ended, for example on another host."""
        known = blocks.job_ids(self._settings.cache_dir)
        try:
            with self._database.begin() as session:
                needed = repository.may_go_on(session, known, within_seconds=self._settings.keep_blocks_seconds)
        except TRANSIENT:
            return  # the next attempt tries again
        for job_id in set(known) - needed:
            blocks.forget(self._settings.cache_dir, job_id)

    def _succeeded(self, metrics: dict[str, Any]) -> None:
        """Record the success. Unless that write certainly failed, the artifact must stay, because readers may trust it."""
        prefix = artifact_prefix(self._job_id, self._fence)
        self._log.end()
        self._may_have_succeeded = True
        try:
            self._reporter.write(
                partial(transitions.succeed, job_id=self._job_id, fence=self._fence, metrics=metrics, artifact_prefix=prefix)
            )
        except ClaimLost:
            raise
        except Exception:
            self._may_have_succeeded = False
            raise
        self._lease.end()
        ATTEMPTS_ENDED.labels(AttemptOutcome.SUCCEEDED).inc()
        for place, taken in metrics["peak_memory_bytes"].items():
            PEAK_MEMORY.labels(place).set(taken or 0)
        log.info("job_succeeded", seconds=metrics["seconds"])
        self._remove_blocks()

    def _interrupted(self, reason: Interruption) -> None:
        """Record an end that is not a failure."""
        ATTEMPTS_ENDED.labels(reason.outcome).inc()
        tracing.failed(str(reason))
        log.info("run_interrupted", reason=str(reason))
        if isinstance(reason, JobCancelled):
            self._end(partial(transitions.cancel, job_id=self._job_id, fence=self._fence))
            self._remove_blocks()
        elif isinstance(reason, JobPaused):
            self._end(partial(transitions.pause, job_id=self._job_id, fence=self._fence))
        elif isinstance(reason, StopRequested):
            self._end(partial(transitions.release, job_id=self._job_id, fence=self._fence))
        else:
            self._give_up()
        self._sweep()

    def _give_up(self) -> None:
        """Report that this process lost its lease but lives, as soon as the database is reachable: the attempt does not count."""
        self._lease.end()
        while not self._stop.is_set():
            try:
                with self._database.begin() as session:
                    transitions.give_up(session, self._job_id, self._fence)
                return
            except TRANSIENT as error:
                log.warning("write_failed", reason=reason_of(error))
                self._stop.wait(_CLAIM_AGAIN_SECONDS)

    def _failed(self, error: BaseException) -> None:
        if self._lease.reason is not None:  # a library has wrapped the interruption that passed through it
            return self._interrupted(self._lease.reason)
        if is_device_lost(error):
            return self._device_lost(error)
        failure = as_failure(error)
        ATTEMPTS_ENDED.labels(AttemptOutcome.FAILED).inc()
        FAILURES.labels(failure.code).inc()
        tracing.failed(failure.code)
        if failure.code is FailureCode.INTERNAL:
            log.warning("run_failed", code=failure.code, exc_info=error)
        else:  # the reason says it all, and readers of the log are no readers of this code
            log.warning("run_failed", code=failure.code, detail=failure.detail)
            log.debug("run_failed_at", exc_info=error)
        retry_seconds = self._settings.retry_seconds
        self._end(partial(transitions.fail, job_id=self._job_id, fence=self._fence, failure=failure, retry_seconds=retry_seconds))
        if not failure.code.retryable:
            self._remove_blocks()
        return self._sweep()

    def _device_lost(self, error: BaseException) -> None:
        """Record that the attempt has ended without a fault of the job; its finished blocks are kept."""
        ATTEMPTS_ENDED.labels(AttemptOutcome.RELEASED).inc()
        tracing.failed(GPU_LOST)
        log.error("gpu_lost", exc_info=error)
        retry_seconds = self._settings.retry_seconds
        self._end(partial(transitions.lose_device, job_id=self._job_id, fence=self._fence, retry_seconds=retry_seconds))
        self._sweep()

    def _remove_blocks(self) -> None:
        if self._blocks is not None:
            self._blocks.remove()

    def _end(self, write: Callable[[Session], None]) -> None:
        self._log.end()
        try:
            self._reporter.write(write)
        except (StaleFence, ClaimLost) as error:
            log.warning("claim_lost", reason=str(error))
        self._lease.end()

    def _sweep(self) -> None:
        """Remove what the attempt has uploaded. If that fails, the dispatcher's garbage collection removes it."""
        if self._store is None or self._may_have_succeeded:
            return
        try:
            sweep(self._store, str(self._job_id), self._fence)
        except Exception as error:
            log.warning("garbage_collection_failed", error=type(error).__name__)
