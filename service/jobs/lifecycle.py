"""Lifecycle operations on existing jobs: cancel, pause, resume, retry, log again, delete. All are idempotent.

`versions` are the job versions that the caller accepts (If-Match); None accepts any. All operations raise JobNotFound for a job
that the tenant does not have, PreconditionFailed for another version, and Conflict if the job's state does not allow it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from service.contract.spec import JobSpec
from service.contract.states import TERMINAL_STATES, EventType, JobState, sources_of
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.errors import Conflict, Problem
from service.jobs import admission, operations, repository, sweep_links
from service.jobs.attempts import transitions as transitions
from service.jobs.events import repository as events
from service.jobs.insertion import Origin
from service.jobs.least_memory import LeastMemory
from service.jobs.mlflow import repository as mlflow
from service.jobs.operations import JobNotFound
from service.jobs.outbox import repository as outbox
from service.models.sources import ModelSources
from service.settings import Settings

Versions = frozenset[int] | None
_TRIED_AGAIN = TERMINAL_STATES - {JobState.SUCCEEDED}


class PreconditionFailed(Problem):
    """Job version that the caller did not expect."""

    status, type, title = 412, "precondition-failed", "Precondition failed"


def cancel(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Cancel a job: a waiting one immediately, a running one through its worker."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state in (JobState.CANCELLING, JobState.CANCELLED):
            return job
        if job.state in TERMINAL_STATES:
            raise Conflict(f"the job has {job.state}; only an unfinished job can be cancelled")
        if not _worker_asked(session, job, EventType.CANCEL_REQUESTED, JobState.CANCELLING):
            transitions.finish(session, job_id, JobState.CANCELLED, fence=job.fence + 1)
        repository.reload(session, job)
    return job


def pause(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Pause a job: a waiting one immediately, a running one through its worker, with its finished blocks kept."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state in (JobState.PAUSING, JobState.PAUSED):
            return job
        if job.state not in sources_of(JobState.PAUSING) + sources_of(JobState.PAUSED):
            raise Conflict(f"the job is {job.state}; only a queued or running job can be paused")
        if not _worker_asked(session, job, EventType.PAUSE_REQUESTED, JobState.PAUSING):
            transitions.mark_paused(session, job_id)
        repository.reload(session, job)
    return job


def _worker_asked(session: Session, job: Job, wish: EventType, target: JobState) -> bool:
    """Record a request that the worker receives with its next heartbeat; return False if no worker holds the job."""
    events.append(session, job.id, wish)
    if job.state not in sources_of(target):
        return False
    repository.change(session, job.id, target)
    return True


def resume(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Requeue a paused job at its old position; it continues after its last finished block.

    Its deadlines are extended by the time that it was paused.
    """
    with _locked(database, job_id, tenant, versions) as (session, job):
        state = JobState(job.state)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return job
        if state == JobState.PAUSING:
            raise Conflict("the job is still pausing; resume it once it is paused")
        if state != JobState.PAUSED:
            raise Conflict(f"the job is {state}; only a paused job can be resumed")
        repository.queue_again(session, job_id)
        outbox.add_job(session, job_id, job.device)
        events.append(session, job_id, EventType.RESUMED)
        repository.reload(session, job)
    return job


@dataclass(frozen=True)
class Retry:
    """Retry of another job, and whether it was created by this call."""

    job: Job
    is_new: bool


def retry(
    database: Database, settings: Settings, models: ModelSources, job_id: UUID, *, tenant: str, versions: Versions = None
) -> Retry:
    """Create a job that retries an unsuccessful one and reuses its finished blocks; at most one retry per job.

    Raises also:
        ModelRefused, InvalidInput, QuotaExceeded: as for any new job.
    """
    spec = _admitted_again(database, settings, models, job_id, tenant)
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state == JobState.SUCCEEDED:
            raise Conflict("the job has succeeded; create a new job from its spec to repeat it")
        if job.state not in TERMINAL_STATES:
            raise Conflict(f"the job is {job.state}; only a job that has ended can be retried")
        known = repository.retry_of(session, job_id)
        if known is not None:
            return Retry(known, is_new=False)
        if job.sweep_id is not None:
            sweep_links.reopen(session, job.sweep_id, job_id)
        least = LeastMemory.of(job)
        made = operations.add(session, settings, spec, tenant=tenant, origin=Origin.retrying(job), least=least)
        return Retry(made, is_new=True)


def _admitted_again(database: Database, settings: Settings, models: ModelSources, job_id: UUID, tenant: str) -> JobSpec:
    """Return the spec, admitted again if a retry is to be created; runs before the job is locked, because the hub may be slow."""
    job = operations.get(database, job_id, tenant=tenant)
    spec = JobSpec.model_validate(job.spec)
    with database.begin() as session:
        is_new = job.state in _TRIED_AGAIN and repository.retry_of(session, job_id) is None
    return admission.admit(models, settings, spec, tenant=tenant) if is_new else spec


def log_again(database: Database, settings: Settings, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Log a succeeded job to MLflow again; a run or version that exists is completed, not repeated."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if not job.spec.get("output", {}).get("mlflow"):
            raise Conflict("the job has no output.mlflow; create a new job from its spec with it")
        if job.state != JobState.SUCCEEDED:
            raise Conflict(f"the job is {job.state}; only a job that has succeeded is logged to MLflow")
        if settings.mlflow_tracking_uri is None:
            raise Conflict("this service has no MLflow server; have the operator set DSNOT_MLFLOW_TRACKING_URI")
        mlflow.add_again(session, job)
        repository.reload(session, job)
    return job


def delete(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> None:
    """Soft-delete a job; its artifact is garbage-collected within minutes, then its row."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state not in TERMINAL_STATES:
            raise Conflict(f"the job is {job.state}, and only a job that has ended can be deleted; cancel it first")
        user = repository.user_of_artifact(session, job)
        if user is not None:
            raise Conflict(f"job {user} prunes this job's artifact; wait until that job has ended, or cancel it")
        repository.mark_deleted(session, job_id)


@contextmanager
def _locked(database: Database, job_id: UUID, tenant: str, versions: Versions) -> Iterator[tuple[Session, Job]]:
    """Yield the job, locked until the transaction ends."""
    with database.begin() as session:
        job = repository.get(session, job_id, tenant=tenant, lock=True)
        if job is None:
            raise JobNotFound(job_id)
        if versions is not None and job.version not in versions:
            raise PreconditionFailed(f"the job has changed, its version is {job.version}; read it again and repeat the request")
        yield session, job
