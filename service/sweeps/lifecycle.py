"""Lifecycle operations on sweeps: cancel, pause, resume, retry, delete. All are idempotent, and raise SweepNotFound.

The sweep's row is changed first, in a transaction of its own, and its jobs afterwards, one at a time: a retry of a job locks
the job's row before the sweep's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from service.contract.states import JobState
from service.contract.sweeps import ENDED, SweepEventType, SweepState
from service.database.engine import Database, Session
from service.database.tables.sweeps import Sweep
from service.errors import Conflict
from service.jobs import lifecycle as jobs
from service.jobs import repository as job_rows
from service.jobs import sweep_links
from service.jobs.operations import JobNotFound
from service.models.sources import ModelSources
from service.settings import Settings
from service.sweeps import repository
from service.sweeps.operations import SweepNotFound, get

_TRIED_AGAIN = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


def cancel(database: Database, sweep_id: UUID, *, tenant: str) -> Sweep:
    """Cancel the sweep and its unfinished jobs. Raises SweepNotFound, Conflict."""
    with _locked(database, sweep_id, tenant) as (session, sweep):
        if sweep.state == SweepState.CANCELLED:
            return sweep
        if sweep.state in ENDED:
            raise Conflict(f"the sweep has {sweep.state}; only an unfinished sweep can be cancelled")
        if sweep.state != SweepState.CANCELLING:
            repository.change(session, sweep, SweepState.CANCELLING, SweepEventType.CANCEL_REQUESTED)
    cancel_jobs(database, sweep_id, tenant=tenant)
    return sweep


def cancel_jobs(database: Database, sweep_id: UUID, *, tenant: str) -> None:
    """Cancel the unfinished jobs of a sweep. The dispatcher repeats it for a sweep whose caller has crashed."""
    _each(database, sweep_id, lambda job_id: jobs.cancel(database, job_id, tenant=tenant))


def pause(database: Database, sweep_id: UUID, *, tenant: str) -> Sweep:
    """Pause the sweep's jobs; a search adds no point until it is resumed. Raises SweepNotFound, Conflict."""
    with _locked(database, sweep_id, tenant) as (session, sweep):
        if sweep.state == SweepState.PAUSED:
            return sweep
        if sweep.state != SweepState.RUNNING:
            raise Conflict(f"the sweep is {sweep.state}; only a running sweep can be paused")
        repository.change(session, sweep, SweepState.PAUSED, SweepEventType.PAUSED)
    _each(database, sweep_id, lambda job_id: jobs.pause(database, job_id, tenant=tenant))
    return sweep


def resume(database: Database, sweep_id: UUID, *, tenant: str) -> Sweep:
    """Queue the sweep's paused jobs again. Raises SweepNotFound; Conflict, also while jobs are still pausing."""
    with _locked(database, sweep_id, tenant) as (session, sweep):
        if sweep.state == SweepState.RUNNING:
            return sweep
        if sweep.state != SweepState.PAUSED:
            raise Conflict(f"the sweep is {sweep.state}; only a paused sweep can be resumed")
        if any(job.state == JobState.PAUSING for job in repository.points(session, sweep_id)):
            raise Conflict("jobs of the sweep are still pausing; resume it once they are paused")
        repository.change(session, sweep, SweepState.RUNNING, SweepEventType.RESUMED)
    _each(database, sweep_id, lambda job_id: jobs.resume(database, job_id, tenant=tenant))
    return sweep


def _each(database: Database, sweep_id: UUID, change: Callable[[UUID], Any]) -> None:
    """Change every unfinished job of the sweep whose state allows it."""
    with database.begin() as session:
        job_ids = repository.unfinished(session, sweep_id)
    for job_id in job_ids:
        with suppress(Conflict, JobNotFound):
            change(job_id)


def retry(database: Database, settings: Settings, models: ModelSources, sweep_id: UUID, *, tenant: str) -> Sweep:
    """Retry the points that failed, expired or were cancelled; a failed search continues from its points.

    Raises:
        SweepNotFound; Conflict: the sweep has not ended, or has finished.
        ModelRefused, InvalidInput, QuotaExceeded: as for a job; points before that are retried.
    """
    sweep, points = get(database, sweep_id, tenant=tenant)
    if sweep.state == SweepState.FINISHED:
        raise Conflict("the sweep has finished: all its points succeeded")
    if sweep.state not in ENDED:
        raise Conflict(f"the sweep is {sweep.state}; only a sweep that has ended can be retried")
    for job in points:
        if job.state in _TRIED_AGAIN:
            jobs.retry(database, settings, models, job.id, tenant=tenant)
    with database.begin() as session:
        sweep_links.reopen(session, sweep_id)
    return get(database, sweep_id, tenant=tenant)[0]


def delete(database: Database, sweep_id: UUID, *, tenant: str, keep_jobs: bool) -> None:
    """Delete an ended sweep, with its jobs and their artifacts unless they are kept.

    Raises:
        SweepNotFound
        Conflict: it has not ended, or an unfinished job prunes the artifact of one of its jobs.
    """
    with _locked(database, sweep_id, tenant) as (session, sweep):
        if sweep.state not in ENDED:
            raise Conflict(f"the sweep is {sweep.state}, and only a sweep that has ended can be deleted; cancel it first")
        if not keep_jobs:
            for job in repository.all_jobs(session, sweep_id):
                user = job_rows.user_of_artifact(session, job)
                if user is not None:
                    raise Conflict(f"job {user} prunes the artifact of job {job.id}; wait until it has ended, or cancel it")
                job_rows.mark_deleted(session, job.id)
        repository.delete(session, sweep)


@contextmanager
def _locked(database: Database, sweep_id: UUID, tenant: str) -> Iterator[tuple[Session, Sweep]]:
    """Yield the sweep, locked until the transaction ends."""
    with database.begin() as session:
        sweep = repository.get(session, sweep_id, tenant=tenant, lock=True)
        if sweep is None:
            raise SweepNotFound(sweep_id)
        yield session, sweep
