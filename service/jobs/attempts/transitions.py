"""SQL of the transitions that end an attempt: by the worker that holds the job, or by the dispatcher, which revokes it.

In one transaction, the attempt is closed, the job is finished, requeued or paused, and the events are appended.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Double, cast, func, select, update
from sqlalchemy.orm import Session

from service.contract.failures import GPU_LOST, Failure, FailureCode
from service.contract.states import HELD_STATES, AttemptOutcome, EventType, JobState, sources_of
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.jobs.attempts.repository import StaleFence
from service.jobs.attempts.turns import is_queued
from service.jobs.events import repository as events
from service.jobs.mlflow import repository as mlflow
from service.jobs.outbox import repository as outbox
from service.jobs.timings import repository as speeds

_FINAL_EVENT = {
    JobState.SUCCEEDED: EventType.SUCCEEDED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
    JobState.EXPIRED: EventType.EXPIRED,
}
_SILENT: Final = "the worker sent no sign of life"
_CAME_BACK: Final = "the worker came back after its lease had expired; the attempt does not count"
_GPU_LOST: Final = f"{GPU_LOST}: the worker's GPU failed and the worker has ended; the attempt does not count"
UNCOUNTED_LOSSES: Final = 3
"""Attempts of one job that may end with a lost GPU without counting; a job that makes every GPU fail ends, too."""
UNCOUNTED_STALLS: Final = 20
"""Attempts of one job whose workers may come back without it counting; a job that stalls every worker ends, too."""


@dataclass(frozen=True)
class _Held:
    """A job's row, locked until the transaction ends."""

    id: UUID
    tenant: str
    state: str
    device: str
    fence: int
    attempts_counted: int
    max_attempts: int
    is_logged: bool
    """Whether MLflow gets a run of it once it has succeeded."""

    @property
    def may_retry(self) -> bool:
        """Whether another attempt is allowed."""
        return self.attempts_counted < self.max_attempts


def succeed(session: Session, job_id: UUID, fence: int, *, metrics: dict[str, Any], artifact_prefix: str) -> None:
    """Finish a job as succeeded, with its complete artifact under `artifact_prefix`. Idempotent."""
    if _has_succeeded(session, job_id, fence):
        return
    job = _lock(session, job_id, fence)
    speeds.learn(session, job_id, metrics)
    _close_attempt(session, job, AttemptOutcome.SUCCEEDED)
    done = {"metrics": metrics, "artifact_prefix": artifact_prefix, "artifact_bytes": metrics.get("bytes")}
    done |= {"stage": None, "progress": None}
    if missed := [gate for gate in metrics.get("gates") or () if not gate["passed"]]:
        events.append(session, job_id, EventType.GATE_FAILED, {"gates": missed})
    finish(session, job_id, JobState.SUCCEEDED, {"artifact_prefix": artifact_prefix}, **done)
    if job.is_logged:
        mlflow.add(session, job_id)


def fail(session: Session, job_id: UUID, fence: int, failure: Failure, *, retry_seconds: float) -> None:
    """Close the attempt; requeue the job after a backoff if the failure is retryable and attempts are left.

    The backoff doubles with every attempt. A job in `cancelling` becomes cancelled instead, one in `pausing` becomes paused.
    """
    job = _lock(session, job_id, fence)
    _close_attempt(session, job, AttemptOutcome.FAILED, f"{failure.code}: {failure.detail}")
    if job.state == JobState.CANCELLING:
        finish(session, job_id, JobState.CANCELLED)
    elif failure.code.retryable and job.may_retry:
        _go_on_later(session, job, failure.code, delay_seconds=_backoff(job, retry_seconds))
    else:
        _fail(session, job_id, failure)


def cancel(session: Session, job_id: UUID, fence: int) -> None:
    """Close the attempt and cancel the job, after its worker has stopped on the user's request."""
    job = _lock(session, job_id, fence)
    _close_attempt(session, job, AttemptOutcome.CANCELLED)
    finish(session, job_id, JobState.CANCELLED)


def pause(session: Session, job_id: UUID, fence: int) -> None:
    """Close the attempt and pause the job, after its worker has stopped on the user's request: the attempt does not count."""
    _release(session, job_id, fence, AttemptOutcome.PAUSED)


def release(session: Session, job_id: UUID, fence: int) -> None:
    """Requeue the job of a worker that shuts down: the attempt does not count, and another worker may claim the job at once."""
    _release(session, job_id, fence, AttemptOutcome.RELEASED)


def lose_device(session: Session, job_id: UUID, fence: int, *, retry_seconds: float) -> None:
    """Requeue the job of a worker whose GPU has failed: the attempt does not count, unless the job has seen this too often."""
    losses = select(func.count()).where(Attempt.job_id == job_id, Attempt.detail == _GPU_LOST)
    if session.scalars(losses).one() < UNCOUNTED_LOSSES:
        _release(session, job_id, fence, AttemptOutcome.RELEASED, _GPU_LOST, reason=GPU_LOST)
    else:
        code, detail = FailureCode.INTERNAL, "The worker's GPU failed, as in earlier attempts at this job; see the workers' logs."
        failure = Failure(code=code, detail=detail, retryable=code.retryable)
        fail(session, job_id, fence, failure, retry_seconds=retry_seconds)


def _release(
    session: Session, job_id: UUID, fence: int, outcome: AttemptOutcome, detail: str | None = None, reason: str | None = None
) -> None:
    job = _lock(session, job_id, fence)
    _close_attempt(session, job, outcome, detail)
    if job.state == JobState.CANCELLING:
        finish(session, job_id, JobState.CANCELLED)
    else:
        _go_on_later(session, job, reason or outcome, attempts_counted=Job.attempts_counted - 1)


def expire_lease(session: Session, job_id: UUID, fence: int, detail: str = _SILENT) -> None:
    """Expire the lease: revoke the job from its worker, and requeue it without backoff, or fail it if no attempts are left."""
    job = _lock(session, job_id, fence)
    _close_attempt(session, job, AttemptOutcome.LEASE_EXPIRED, detail)
    if job.state == JobState.CANCELLING:
        finish(session, job_id, JobState.CANCELLED, fence=Job.fence + 1)
    elif job.may_retry:
        _go_on_later(session, job, AttemptOutcome.LEASE_EXPIRED, fence=Job.fence + 1)
    else:
        lost = Failure(
            code=FailureCode.WORKER_LOST,
            detail=f"the worker disappeared while it worked on attempt {job.attempts_counted} of {job.max_attempts}",
            retryable=FailureCode.WORKER_LOST.retryable,
        )
        _fail(session, job_id, lost, fence=Job.fence + 1)


def give_up(session: Session, job_id: UUID, fence: int) -> None:
    """Uncount the attempt of a worker that lost its lease without crashing, and expire the lease if that is still to do.

    The worker stood still (sleeping machine, frozen container) or had no database for longer than its lease. Idempotent.
    """
    if session.scalars(select(Job.id).where(Job.id == job_id, Job.finished_at.is_(None)).with_for_update()).one_or_none() is None:
        return
    attempts = session.scalars(select(Attempt).where(Attempt.job_id == job_id)).all()
    (attempt,) = [each for each in attempts if each.fence == fence]
    stalls = sum(each.detail == _CAME_BACK for each in attempts)
    if attempt.outcome not in (None, AttemptOutcome.LEASE_EXPIRED) or attempt.detail == _CAME_BACK or stalls >= UNCOUNTED_STALLS:
        return
    uncounted = update(Job).where(Job.id == job_id).values(attempts_counted=Job.attempts_counted - 1)
    session.execute(uncounted, execution_options={"synchronize_session": False})
    if attempt.ended_at is None:
        expire_lease(session, job_id, fence, _CAME_BACK)
    else:
        attempt.detail = _CAME_BACK


def exceed_deadline(session: Session, job_id: UUID) -> None:
    """Fail a job whose run deadline has passed, between attempts or during one, and revoke it from its worker."""
    job = _lock(session, job_id, None)
    _close_attempt(session, job, AttemptOutcome.DEADLINE_EXCEEDED)
    code = FailureCode.DEADLINE_EXCEEDED
    failure = Failure(code=code, detail="the run_deadline_seconds of the job have passed", retryable=code.retryable)
    _fail(session, job_id, failure, fence=Job.fence + 1)


def finish(session: Session, job_id: UUID, target: JobState, data: dict[str, Any] | None = None, **values: Any) -> None:
    """Change a job that no worker holds to a final state, and append the event of that name.

    Raises:
        sqlalchemy.exc.NoResultFound: its state does not allow that.
    """
    finished = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(sources_of(target)))
        .values(state=target, finished_at=func.now(), **values)
        .returning(Job.id)
    )
    session.execute(finished, execution_options={"synchronize_session": False}).one()
    events.append(session, job_id, _FINAL_EVENT[target], data)


def _fail(session: Session, job_id: UUID, failure: Failure, **values: Any) -> None:
    error = failure.model_dump(mode="json")
    finish(session, job_id, JobState.FAILED, error, error=error, **values)


def _go_on_later(session: Session, job: _Held, reason: str, *, delay_seconds: float = 0, **values: Any) -> None:
    """Requeue the job, or pause it if that was requested."""
    if job.state == JobState.PAUSING:
        mark_paused(session, job.id, **values)
    else:
        _requeue(session, job, reason, delay_seconds, **values)


def mark_paused(session: Session, job_id: UUID, **values: Any) -> None:
    """Pause a job that no worker holds.

    Raises:
        sqlalchemy.exc.NoResultFound: its state does not allow that.
    """
    paused = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(sources_of(JobState.PAUSED)))
        .values(state=JobState.PAUSED, paused_at=func.now(), stage=None, progress=None, **values)
        .returning(Job.id)
    )
    session.execute(paused, execution_options={"synchronize_session": False}).one()
    events.append(session, job_id, EventType.PAUSED)


def _requeue(session: Session, job: _Held, reason: str, delay_seconds: float, **values: Any) -> None:
    queued = (
        update(Job)
        .where(Job.id == job.id, Job.state.in_(sources_of(JobState.QUEUED)))
        .values(state=JobState.QUEUED, available_at=in_seconds(delay_seconds), sent_at=None, stage=None, progress=None, **values)
        .returning(Job.id)
    )
    session.execute(queued, execution_options={"synchronize_session": False}).one()
    outbox.add_job(session, job.id, job.device, delay_seconds=delay_seconds)
    events.append(session, job.id, EventType.REQUEUED, {"reason": reason, "delay_seconds": delay_seconds})


def _backoff(job: _Held, retry_seconds: float) -> float:
    return float(retry_seconds * 2 ** (job.attempts_counted - 1))


def _has_succeeded(session: Session, job_id: UUID, fence: int) -> bool:
    same = select(Job.id).where(Job.id == job_id, Job.fence == fence, Job.state == JobState.SUCCEEDED)
    return session.execute(same).one_or_none() is not None


def _lock(session: Session, job_id: UUID, fence: int | None) -> _Held:
    """Lock and return the row of the job held with this fence; without a fence, of an unfinished job. Raises StaleFence."""
    is_logged = func.coalesce(func.jsonb_typeof(Job.spec["output"]["mlflow"]) == "object", False)
    columns = (Job.id, Job.tenant, Job.state, Job.device, Job.fence, Job.attempts_counted, Job.max_attempts, is_logged)
    statement = select(*columns).where(Job.id == job_id).with_for_update()
    if fence is None:
        statement = statement.where(Job.finished_at.is_(None))
    else:
        statement = statement.where(Job.fence == fence, Job.state.in_(HELD_STATES))
    row = session.execute(statement).one_or_none()
    if row is None:
        raise StaleFence(job_id, fence or 0)
    return _Held(*row)


def _close_attempt(session: Session, job: _Held, outcome: AttemptOutcome, detail: str | None = None) -> None:
    """Close the job's open attempt, if it has one."""
    succeeded = outcome == AttemptOutcome.SUCCEEDED
    closed = (
        update(Attempt)
        .where(Attempt.job_id == job.id, Attempt.ended_at.is_(None))
        .values(ended_at=func.now(), outcome=outcome, detail=detail, swept_at=func.now() if succeeded else None)
        .returning(Attempt.number)
    )
    number = session.execute(closed, execution_options={"synchronize_session": False}).scalar_one_or_none()
    if number is not None:
        _count_active_time(session, job.id)
        _wake_for_next(session, job.tenant)
        ended = {"attempt": number, "outcome": outcome, "detail": detail}
        events.append(session, job.id, EventType.ATTEMPT_ENDED, ended)


def _wake_for_next(session: Session, tenant: str) -> None:
    """Send a message for the next job of a tenant with a limit of running jobs: workers were woken for it in vain before."""
    has_limit = select(TenantQuota.tenant).where(TenantQuota.tenant == tenant, TenantQuota.max_running_jobs.is_not(None)).exists()
    following = (
        select(Job.id, Job.device)
        .where(Job.tenant == tenant, is_queued(Job), Job.available_at <= func.now())
        .where(has_limit)
        .order_by(Job.priority.desc(), Job.created_at, Job.id)
        .limit(1)
    )
    found = session.execute(following).one_or_none()
    if found is not None:
        outbox.add_job(session, found.id, found.device)


def _count_active_time(session: Session, job_id: UUID) -> None:
    """Store the time of all ended attempts, whichever version of the worker ran them."""
    spent = select(func.sum(func.extract("epoch", Attempt.ended_at - Attempt.started_at))).where(Attempt.job_id == job_id)
    active = cast(spent.scalar_subquery(), Double)
    counted = update(Job).where(Job.id == job_id).values(active_seconds=active, attempt_started_at=None)
    session.execute(counted, execution_options={"synchronize_session": False})
