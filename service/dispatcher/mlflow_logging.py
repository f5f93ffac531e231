"""Logging of succeeded jobs to MLflow, with the retries of webhooks. A failure never changes the state of a job.

It has its own thread, because the server may be slow or unreachable. Several dispatchers may log concurrently: each leases a job
for longer than an attempt takes. An attempt after a crash finds what the one before has created.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from service.artifacts.operations import Artifact
from service.comparisons import repository as comparisons
from service.contract.artifacts import MANIFEST_NAME, Manifest
from service.contract.mlflow import MlflowLog, MlflowState
from service.database.engine import TRANSIENT, Database
from service.database.tables.jobs import Job
from service.dispatcher.circuit_breaker import CircuitBreakers, endpoint_of
from service.dispatcher.metrics import MLFLOW_ATTEMPTS
from service.dispatcher.retry_schedule import wait_after
from service.jobs.mlflow import repository
from service.jobs.mlflow.repository import DueExport
from service.logging import get_logger
from service.mlflow.export import Export
from service.mlflow.run_content import FILES, content_of
from service.mlflow.server import MlflowError, MlflowServer, lease_seconds
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreUnavailable

log = get_logger(__name__)

_SLOW: Final = 0.1
"""Part of the time of an attempt from which on a failure counts as slow."""
_MOST_FILE_BYTES: Final = 8 * 1024 * 1024
"""Limit of a file that the run gets; larger ones remain in the artifact."""
_GONE: Final = "the artifact was removed before the job was logged"


class MlflowLogger:
    """Logger of due jobs, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_address, pool_size=1)
        self._store = ArtifactStore(settings.artifact_url)
        self._breakers = CircuitBreakers()

    def run(self, stop: threading.Event) -> None:
        """Log jobs until `stop` is set, waiting out database outages."""
        if self._settings.mlflow_tracking_uri is None:
            log.info("jobs_not_logged_to_mlflow", because="DSNOT_MLFLOW_TRACKING_URI is not set")
            return
        while not stop.is_set():
            try:
                while self.log_next() and not stop.is_set():
                    pass
            except TRANSIENT as error:
                log.debug("mlflow_postponed", error=type(error).__name__)
            except Exception:
                log.exception("mlflow_failed")
            stop.wait(self._settings.dispatch_seconds)
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def log_next(self) -> bool:
        """Attempt to log the job that has been due the longest; return False if none is due, or the server gets a pause."""
        assert self._settings.mlflow_tracking_uri is not None
        endpoint = endpoint_of(self._settings.mlflow_tracking_uri)
        with self._database.begin() as session:
            if pause := self._breakers.pause(endpoint):
                repository.postpone_due(session, seconds=pause)
                return False
            due = repository.take(session, lease_seconds=lease_seconds(self._settings))
            job = None if due is None else repository.job_of(session, due)
        if due is None:
            return False
        if job is not None:
            began = time.monotonic()
            outcome, is_final = self._attempt(job)
            is_slow = outcome.error is not None and time.monotonic() - began >= _SLOW * self._settings.mlflow_seconds
            self._breakers.record(endpoint, failed_slowly=is_slow)
            self._write_down(due, outcome, is_final=is_final)
        return True

    def _attempt(self, job: Job) -> tuple[MlflowLog, bool]:
        """Log a job; return what is known of its run, and whether another attempt is pointless."""
        settings, before = self._settings, MlflowLog.model_validate(job.mlflow or {"state": MlflowState.PENDING})
        export: Export | None = None
        try:
            artifact, manifest = self._artifact(job)
            with self._database.begin() as session:
                blocks = comparisons.blocks(session, [job.id]).get(job.id, [])
            content = content_of(job, blocks, artifact, manifest, settings)
            with MlflowServer(settings) as server:
                export = Export(server, content, str(settings.mlflow_public_url or settings.mlflow_tracking_uri))
                export.run(lambda: self._files(artifact) | {MANIFEST_NAME: manifest})
        except MlflowError as error:
            return _failed(export.log if export and export.log.run_id else before, str(error)), error.is_final
        except StoreUnavailable as error:
            return _failed(before, error.detail), False
        except TRANSIENT:
            raise
        except Exception:
            log.exception("mlflow_attempt_failed", job_id=str(job.id))
            return _failed(before, "the attempt failed in this service; its log has the reason"), False
        return export.log, True

    def _artifact(self, job: Job) -> tuple[Artifact, bytes]:
        """Return the job's artifact and the bytes of its manifest. Raises MlflowError, StoreUnavailable."""
        if job.artifact_removed_at is not None or job.artifact_prefix is None:
            raise MlflowError(_GONE, is_final=True)
        try:
            manifest = self._store.read(f"{job.artifact_prefix}/{MANIFEST_NAME}")
        except FileNotFoundError:
            raise MlflowError(_GONE, is_final=True) from None
        return Artifact(Manifest.model_validate_json(manifest), job.artifact_prefix), manifest

    def _files(self, artifact: Artifact) -> dict[str, bytes]:
        listed = [file for name in FILES if (file := artifact.file(name)) is not None and file.bytes <= _MOST_FILE_BYTES]
        return {file.path: self._store.read(f"{artifact.prefix}/{file.path}") for file in listed}

    def _write_down(self, due: DueExport, outcome: MlflowLog, *, is_final: bool) -> None:
        wait = None if is_final else wait_after(due.attempt, self._settings.webhook_retry_seconds)
        if outcome.error is not None:
            state = MlflowState.FAILED if wait is None else MlflowState.PENDING
            outcome = outcome.model_copy(update={"state": state})
        next_at = None if wait is None else datetime.now(UTC) + timedelta(seconds=wait)
        outcome = outcome.model_copy(update={"attempts": due.attempt, "next_attempt_at": next_at})
        with self._database.begin() as session:
            if not repository.write(session, due, outcome, wait_seconds=wait):
                return
        what = {MlflowState.LOGGED: "logged", MlflowState.PENDING: "postponed"}.get(outcome.state, "given_up")
        MLFLOW_ATTEMPTS.labels(what).inc()
        log.info("mlflow_attempted", job_id=str(due.job_id), attempt=due.attempt, outcome=what, error=outcome.error)


def _failed(known: MlflowLog, error: str) -> MlflowLog:
    return known.model_copy(update={"error": error})
