"""What callers do to jobs that exist: cancel, pause, resume, try again, delete. Doing it twice is doing it once.

Each change may be tied to the versions that the caller has seen; None accepts any. All of them raise JobNotFound for a job that
the tenant does not have, PreconditionFailed for one of another version, and Conflict where the job's state does not allow it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from service.contract import TERMINAL_STATES, EventType, JobSpec, JobState, sources_of
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.errors import Conflict, Problem
from service.jobs import admission, operations, repository
from service.jobs.attempts import transitions as endings
from service.jobs.events import repository as events
from service.jobs.operations import JobNotFound
from service.jobs.outbox import repository as outbox
from service.models.sources import ModelSources
from service.settings import Settings

Versions = frozenset[int] | None
_TRIED_AGAIN = TERMINAL_STATES - {JobState.SUCCEEDED}


class PreconditionFailed(Problem):
    status, type, title = 412, "precondition-failed", "The job has changed"


def cancel(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """End a waiting job at once; have the worker of a running one stop."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state in (JobState.CANCELLING, JobState.CANCELLED):
            return job
        if job.state in TERMINAL_STATES:
            raise Conflict(f"the job has {job.state}; only a job that has not ended can be cancelled")
        if not _worker_asked(session, job, EventType.CANCEL_REQUESTED, JobState.CANCELLING):
            endings.finish(session, job_id, JobState.CANCELLED, fence=job.fence + 1)
        repository.reload(session, job)
    return job


def pause(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Set a waiting job aside; have the worker of a running one stop, whose finished blocks are kept."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state in (JobState.PAUSING, JobState.PAUSED):
            return job
        if job.state not in sources_of(JobState.PAUSING) + sources_of(JobState.PAUSED):
            raise Conflict(f"the job is {job.state}; only a job that is queued or running can be paused")
        if not _worker_asked(session, job, EventType.PAUSE_REQUESTED, JobState.PAUSING):
            endings.put_aside(session, job_id)
        repository.reload(session, job)
    return job


def _worker_asked(session: Session, job: Job, wish: EventType, target: JobState) -> bool:
    """Note the wish, and have the worker's next heartbeat bring it; False if no worker holds the job."""
    events.append(session, job.id, wish)
    if job.state not in sources_of(target):
        return False
    repository.change(session, job.id, target)
    return True


def resume(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> Job:
    """Queue a paused job again, at its old place; it goes on after its last finished block.

    Its deadlines stood still while it was paused.
    """
    with _locked(database, job_id, tenant, versions) as (session, job):
        state = JobState(job.state)
        if state in (JobState.QUEUED, JobState.RUNNING):
            return job
        if state == JobState.PAUSING:
            raise Conflict("its worker is about to stop; resume the job once it is paused")
        if state != JobState.PAUSED:
            raise Conflict(f"the job is {state}; only a paused job can be resumed")
        repository.queue_again(session, job_id)
        outbox.add_job(session, job_id, job.device)
        events.append(session, job_id, EventType.RESUMED)
        repository.reload(session, job)
    return job


@dataclass(frozen=True)
class Retry:
    """The job that tries another again, and whether it was made just now."""

    job: Job
    is_new: bool


def retry(
    database: Database, settings: Settings, models: ModelSources, job_id: UUID, *, tenant: str, versions: Versions = None
) -> Retry:
    """Make a new job of one that has ended without success; blocks that the old one has finished are used. One job each.

    Raises also:
        ModelRefused, InvalidInput, QuotaExceeded: as for any new job.
    """
    spec = _admitted_again(database, settings, models, job_id, tenant)
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state == JobState.SUCCEEDED:
            raise Conflict("the job has succeeded; create a job from its spec to have it once more")
        if job.state not in TERMINAL_STATES:
            raise Conflict(f"the job is {job.state}; only a job that has ended can be tried again")
        known = repository.retry_of(session, job_id)
        if known is not None:
            return Retry(known, is_new=False)
        return Retry(operations.add(session, settings, spec, tenant=tenant, retry_of=job_id), is_new=True)


def _admitted_again(database: Database, settings: Settings, models: ModelSources, job_id: UUID, tenant: str) -> JobSpec:
    """The spec for a new try, if one is to be made; asked before the job is locked, for the hub may take its time."""
    job = operations.get(database, job_id, tenant=tenant)
    spec = JobSpec.model_validate(job.spec)
    with database.begin() as session:
        is_new = job.state in _TRIED_AGAIN and repository.retry_of(session, job_id) is None
    return admission.admit(models, settings, spec, tenant=tenant) if is_new else spec


def delete(database: Database, job_id: UUID, *, tenant: str, versions: Versions = None) -> None:
    """Nobody sees the job any more; its artifact is removed within minutes, and its record after it."""
    with _locked(database, job_id, tenant, versions) as (session, job):
        if job.state not in TERMINAL_STATES:
            raise Conflict(f"the job is {job.state}; cancel it first, only a job that has ended can be deleted")
        user = repository.user_of_artifact(session, job)
        if user is not None:
            raise Conflict(f"job {user} prunes this job's artifact; delete it once that one has ended, or cancel that one")
        repository.mark_deleted(session, job_id)


@contextmanager
def _locked(database: Database, job_id: UUID, tenant: str, versions: Versions) -> Iterator[tuple[Session, Job]]:
    """The job, which nobody else changes until the transaction ends."""
    with database.begin() as session:
        job = repository.get(session, job_id, tenant=tenant, lock=True)
        if job is None:
            raise JobNotFound(job_id)
        if versions is not None and job.version not in versions:
            raise PreconditionFailed(f"its version is {job.version}; read the job again and decide anew")
        yield session, job
