"""SQL of an attempt: claim, lease and the worker's reports. The end of attempts is in `transitions`.

All times are the database's. A job belongs to the attempt whose fence (fencing token) equals the job's; every write of a worker
carries its fence and changes the row only if they are equal (`held`). Revoking a job from its worker increments the job's fence.
Locks are taken in one order, the job's row before its attempt's, which prevents deadlocks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, Row, Select, Text, cast, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from service.contract.devices import DeviceClass
from service.contract.matrices import MatrixReport
from service.contract.messages import PROGRESS_CHANNEL
from service.contract.states import HELD_STATES, EventType, JobState, Stage, WorkerDirective
from service.contract.work import Work
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, Layer
from service.jobs.attempts.next_job import next_job
from service.jobs.attempts.passing_on import pass_on
from service.jobs.attempts.timeline import MILESTONES, courses, stage_seconds
from service.jobs.attempts.turns import Turn, in_turn, lock, running_of
from service.jobs.events import repository as events

_FENCES_SINCE: Final = 1_767_225_600
"""Start of 2026 in Unix seconds. A claim's fence is at least the seconds since: a database restored from a dump reuses none."""
_NOTIFIED_CHARACTERS: Final = 1900
"""Longest payload of a notification, of which PostgreSQL takes less than 8000 bytes; streams ignore what is cut."""
_STAGE_PROGRESS: Final = cast(Job.progress.op("||")(func.jsonb_build_object("stage", Job.stage)), Text)
_NOTIFY_OF_PROGRESS: Final = func.pg_notify(
    PROGRESS_CHANNEL, func.left(func.concat(cast(Job.id, Text), " ", _STAGE_PROGRESS), _NOTIFIED_CHARACTERS)
)
"""Expression to return from an update of the job: it costs no further statement."""
_WISHES: Final = {JobState.CANCELLING: WorkerDirective.CANCEL, JobState.PAUSING: WorkerDirective.PAUSE}


class StaleFence(Exception):
    """Fence of an attempt that has lost its job, or whose job has ended. Nothing was written."""

    def __init__(self, job_id: UUID, fence: int) -> None:
        super().__init__(f"fence {fence} of job {job_id} is stale")


@dataclass(frozen=True)
class Claim:
    """A job claimed by a worker."""

    job_id: UUID
    tenant: str
    attempt: int
    fence: int
    spec: dict[str, Any]
    retry_of: UUID | None
    """Job whose finished blocks may be reused."""
    request_id: str | None = None
    """Id of the request that created the job."""
    traceparent: str | None = None
    """Trace context of that request."""


def claim_next(
    session: Session, *, worker: str, device: DeviceClass, lease_seconds: float, cached_models: Collection[str] = ()
) -> Claim | None:
    """Claim the next queued job that a worker of this class has memory for, if there is one.

    Tenants take turns within their quotas (`service.jobs.attempts.turns`); of a tenant's jobs that of the highest priority is
    next, then the oldest, with a preference for models in the worker's cache (`service.jobs.attempts.next_job`). Without one, the
    message that woke the worker is passed on where another worker should have it.

    Concurrent claims skip each other's rows, and tenants with a limit. Rows may also be locked by other writers (the dispatcher
    records the sending of the message just when the message arrives), so if none is found, the claim is repeated, and waits.

    Args:
        cached_models: keys of the models in the worker's cache (`service.contract.model_spec.cache_key`).
    """
    job = _take_in_turn(session, worker, device, cached_models, wait=False)
    job = job or _take_in_turn(session, worker, device, cached_models, wait=True)
    if job is None:
        pass_on(session, worker=worker, device=device, silent_seconds=lease_seconds)
        return None
    session.execute(delete(Layer).where(Layer.job_id == job.id))
    session.add(
        Attempt(
            job_id=job.id,
            number=job.attempts_started,
            fence=job.fence,
            worker=worker,
            lease_expires_at=in_seconds(lease_seconds),
        )
    )
    events.append(session, job.id, EventType.ATTEMPT_STARTED, {"attempt": job.attempts_started, "worker": worker})
    return Claim(job.id, job.tenant, job.attempts_started, job.fence, job.spec, job.retry_of, job.request_id, job.traceparent)


_Taken = Row[UUID, str, int, int, dict[str, Any], UUID | None, str | None, str | None]


def _take_in_turn(
    session: Session, worker: str, device: DeviceClass, cached_models: Collection[str], *, wait: bool
) -> _Taken | None:
    """Take a job of the first tenant that has one; without `wait`, pass over what another transaction has locked."""
    for turn in in_turn(session, device, worker):
        # what was locked without success is released: two claims that keep it could deadlock
        with session.begin_nested() as attempt:
            if turn.max_running_jobs is None or lock(session, turn.tenant, wait=wait):
                best = next_job(turn.tenant, device, cached_models).with_for_update(of=Job, skip_locked=not wait)
                job = _take(session, turn, best, worker)
                if job is not None:
                    return job
            attempt.rollback()
    return None


def _take(session: Session, turn: Turn, best: Select[UUID], worker: str) -> _Taken | None:
    """Change the job to `running`, unless the tenant has reached its limit since the turns were read."""
    claimed = (
        update(Job)
        .where(Job.id == best.scalar_subquery())
        .values(
            state=JobState.RUNNING,
            fence=func.greatest(Job.fence + 1, cast(func.extract("epoch", func.now()) - _FENCES_SINCE, Integer)),
            turn=turn.tag,
            attempts_started=Job.attempts_started + 1,
            attempts_counted=Job.attempts_counted + 1,
            started_at=func.coalesce(Job.started_at, func.now()),
            attempt_started_at=func.now(),
            run_deadline_at=func.coalesce(Job.run_deadline_at, in_seconds(Job.spec["run_deadline_seconds"].as_float())),
            stage=None,
            progress=None,
            metrics=None,
            error=None,
        )
        .returning(Job.id, Job.tenant, Job.attempts_started, Job.fence, Job.spec, Job.retry_of, Job.request_id, Job.traceparent)
    )
    if turn.max_running_jobs is not None:
        claimed = claimed.where(running_of(literal(turn.tenant)).scalar_subquery() < turn.max_running_jobs)
    return session.execute(claimed, {"worker": worker}, execution_options={"synchronize_session": False}).one_or_none()


def may_go_on(session: Session, job_ids: Collection[UUID], *, within_seconds: float) -> set[UUID]:
    """Return the jobs that are unfinished, or have failed within `within_seconds` and may still be retried."""
    is_fresh = (Job.state == JobState.FAILED) & (Job.finished_at > in_seconds(-within_seconds))
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.finished_at.is_(None) | is_fresh)))


def heartbeat(session: Session, job_id: UUID, fence: int, lease_seconds: float) -> WorkerDirective:
    """Renew the lease and return the instruction for the worker.

    An expired lease can be renewed until the job is revoked: mutual exclusion depends on the fence, not on the clock, and
    work that no other worker has claimed should not be lost to a slow database.
    """
    renewed = (
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.fence == fence, Attempt.ended_at.is_(None))
        .where(Job.id == Attempt.job_id, Job.fence == Attempt.fence)
        .values(lease_expires_at=in_seconds(lease_seconds))
        .returning(Job.state)
    )
    state = session.execute(renewed, execution_options={"synchronize_session": False}).scalar_one_or_none()
    if state is None:
        return WorkerDirective.ABANDON
    return _WISHES.get(JobState(state), WorkerDirective.CONTINUE)


def stage_started(session: Session, job_id: UUID, fence: int, stage: Stage) -> None:
    """Record the start of a stage and reset the progress."""
    _write(session, job_id, fence, stage=stage, progress=None)
    events.append(session, job_id, EventType.STAGE_STARTED, {"stage": stage})


def progress(session: Session, job_id: UUID, fence: int, report: dict[str, Any]) -> None:
    """Store the progress of the stage: done, total, unit, eta_seconds; notify streams of it in the same statement.

    There is no event, because reports are too frequent.
    """
    _write(session, job_id, fence, _NOTIFY_OF_PROGRESS, progress=report)


def earlier_stage_seconds(session: Session, claim: Claim) -> dict[str, float]:
    """Return the time of each stage over the attempts before this one."""
    attempts = session.scalars(select(Attempt).where(Attempt.job_id == claim.job_id).order_by(Attempt.number)).all()
    milestones = select(JobEvent).where(JobEvent.job_id == claim.job_id, JobEvent.type.in_(MILESTONES)).order_by(JobEvent.seq)
    earlier = [each for each in courses(attempts, session.scalars(milestones)) if each.attempt.number < claim.attempt]
    return stage_seconds(earlier, session.scalars(select(func.now())).one())


def model_resolved(session: Session, job_id: UUID, fence: int, revision: str) -> None:
    """Replace the requested revision by its commit, so that the job is reproducible."""
    spec = func.jsonb_set(Job.spec, cast(["model", "revision"], ARRAY(Text)), cast(revision, JSONB))
    _write(session, job_id, fence, spec=spec)


def sized(session: Session, job_id: UUID, fence: int, work: Work) -> None:
    """Store the job's amount of work, from which its remaining time is estimated."""
    _write(session, job_id, fence, work=work.model_dump(mode="json"))


def block_pruned(
    session: Session,
    job_id: UUID,
    fence: int,
    *,
    block: int,
    position: int,
    matrices: Sequence[MatrixReport],
    report: dict[str, Any],
    resumed: bool,
    memory: Mapping[str, int | None] | None = None,
) -> None:
    """Store the results of one block's matrices, the first of them at `position`, with progress and event.

    `resumed`: the block was pruned by an earlier attempt; `memory`: the peak while this attempt pruned it. Idempotent, so that a
    caller can repeat it after a lost connection.
    """
    _write(session, job_id, fence, progress=report)
    if session.execute(select(exists().where(Layer.job_id == job_id, Layer.block == block))).scalar_one():
        return
    for offset, matrix in enumerate(matrices):
        session.add(_layer(job_id, position + offset, block, matrix))
    seconds = sum(matrix.seconds for matrix in matrices)
    summary = {"block": block, "total": report["total"], "matrices": len(matrices), "seconds": seconds, "resumed": resumed}
    peak = {"peak_memory_bytes": dict(memory)} if memory else {}
    events.append(session, job_id, EventType.BLOCK_PRUNED, summary | peak)


def _layer(job_id: UUID, position: int, block: int, matrix: MatrixReport) -> Layer:
    rows, columns = matrix.shape
    return Layer(
        job_id=job_id,
        position=position,
        block=block,
        rows=rows,
        columns=columns,
        **matrix.model_dump(exclude={"shape"}),
    )


def evaluated(session: Session, job_id: UUID, fence: int, metrics: dict[str, Any], which: str) -> None:
    """Store the metrics measured so far; `which` is the new part: `dense`, or `pruned` with its agreement with dense."""
    _write(session, job_id, fence, metrics=metrics)
    agreement = {"agreement": metrics["agreement"]} if which == "pruned" and metrics.get("agreement") else {}
    events.append(session, job_id, EventType.EVALUATED, {"model": which, **metrics[which], **agreement})


def _write(session: Session, job_id: UUID, fence: int, *returned: ColumnElement[Any], **values: Any) -> None:
    held = update(Job).where(Job.id == job_id, Job.fence == fence, Job.state.in_(HELD_STATES)).values(**values)
    if session.execute(held.returning(Job.id, *returned), execution_options={"synchronize_session": False}).one_or_none() is None:
        raise StaleFence(job_id, fence)
