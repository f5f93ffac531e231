"""SQL of an attempt: the claim, the lease, what the worker reports. How attempts end is in `endings`.

All times are the database's. A job belongs to the attempt whose fence number equals the job's; every write of a worker names its
fence and changes the row only if that is still so (`held`). Whoever takes a job away from its worker raises the number.
Locks are taken in one order, the job's row before its attempt's, so that no two transactions wait for each other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import ARRAY, Row, Text, cast, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from service.contract import DeviceClass, EventType, JobState, Stage, Wish, sources_of, wants_served_by
from service.contract.work import Work
from service.database.engine import in_seconds
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job, Layer
from service.jobs.events import repository as events

HELD_STATES: Final = (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING)
"""The states in which a worker holds the job."""


_WISHES: Final = {JobState.CANCELLING: Wish.CANCEL, JobState.PAUSING: Wish.PAUSE}


class StaleFence(Exception):
    """The job belongs to another attempt, or has ended. Nothing was written, and nothing more may be."""

    def __init__(self, job_id: UUID, fence: int) -> None:
        super().__init__(f"fence {fence} of job {job_id} is stale")


@dataclass(frozen=True)
class Claim:
    """What a worker got hold of."""

    job_id: UUID
    tenant: str
    attempt: int
    fence: int
    spec: dict[str, Any]
    retry_of: UUID | None
    """A job whose finished blocks may be used."""
    request_id: str | None = None
    """Of the request that created the job."""
    traceparent: str | None = None
    """That request's span."""


class MatrixMeasures(Protocol):
    """What the engine reports of one matrix."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def sparsity(self) -> float: ...
    @property
    def error_start(self) -> float: ...
    @property
    def error_mask(self) -> float: ...
    @property
    def error(self) -> float: ...
    @property
    def swaps(self) -> int: ...
    @property
    def stops(self) -> dict[str, int]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def seconds(self) -> float: ...


def claim_next(session: Session, *, worker: str, device: DeviceClass, lease_seconds: float) -> Claim | None:
    """Take the best queued job that a worker of this class may run, if there is one: highest priority first, then the oldest.

    Claims that run at once skip each other's rows. A row may also be locked by somebody who only writes to it (the dispatcher
    notes that it sent the message, which is when the message arrives), so that finding none is confirmed by waiting.
    """
    with session.begin_nested() as looking:
        job = _take_best(session, device, skip_locked=True)
        if job is None:
            looking.rollback()  # lets go of rows that were locked and then found claimed: two claims could wait for each other
    job = job or _take_best(session, device, skip_locked=False)
    if job is None:
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


def _take_best(
    session: Session, device: DeviceClass, *, skip_locked: bool
) -> Row[UUID, str, int, int, dict[str, Any], UUID | None, str | None, str | None] | None:
    best = (
        select(Job.id)
        .where(Job.state.in_(sources_of(JobState.RUNNING)), Job.available_at <= func.now())
        .where(Job.device.in_(wants_served_by(device)))
        .order_by(Job.priority.desc(), Job.created_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=skip_locked)
    )
    claimed = (
        update(Job)
        .where(Job.id == best.scalar_subquery())
        .values(
            state=JobState.RUNNING,
            fence=Job.fence + 1,
            attempts_started=Job.attempts_started + 1,
            attempts_counted=Job.attempts_counted + 1,
            started_at=func.coalesce(Job.started_at, func.now()),
            run_deadline_at=func.coalesce(Job.run_deadline_at, in_seconds(Job.spec["run_deadline_seconds"].as_float())),
            stage=None,
            progress=None,
            metrics=None,
            error=None,
        )
        .returning(Job.id, Job.tenant, Job.attempts_started, Job.fence, Job.spec, Job.retry_of, Job.request_id, Job.traceparent)
    )
    return session.execute(claimed, execution_options={"synchronize_session": False}).one_or_none()


def may_go_on(session: Session, job_ids: Collection[UUID], *, within_seconds: float) -> set[UUID]:
    """Those of the jobs that have not ended, or have failed so lately that somebody may want to try again."""
    is_fresh = (Job.state == JobState.FAILED) & (Job.finished_at > in_seconds(-within_seconds))
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.finished_at.is_(None) | is_fresh)))


def heartbeat(session: Session, job_id: UUID, fence: int, lease_seconds: float) -> Wish:
    """Renew the lease and learn what is wanted.

    A lease that ran out may be renewed as long as nobody has acted on it: what keeps two workers apart is the fence, not the
    clock, and work that nobody else has taken up should not be thrown away because of a slow database.
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
        return Wish.ABANDON
    return _WISHES.get(JobState(state), Wish.CONTINUE)


def stage_started(session: Session, job_id: UUID, fence: int, stage: Stage) -> None:
    """Enter a stage; the progress of the one before is over."""
    _write(session, job_id, fence, stage=stage, progress=None)
    events.append(session, job_id, EventType.STAGE_STARTED, {"stage": stage})


def progress(session: Session, job_id: UUID, fence: int, report: dict[str, Any]) -> None:
    """Say how far the stage is: done, total, unit, eta_seconds. No event: too many, and of no later interest."""
    _write(session, job_id, fence, progress=report)


def model_resolved(session: Session, job_id: UUID, fence: int, revision: str) -> None:
    """Store the commit that the revision asked for stands for, so that the job can be repeated."""
    spec = func.jsonb_set(Job.spec, cast(["model", "revision"], ARRAY(Text)), cast(revision, JSONB))
    _write(session, job_id, fence, spec=spec)


def sized(session: Session, job_id: UUID, fence: int, work: Work) -> None:
    """Store how much there is to do, by which the time that is left is told."""
    _write(session, job_id, fence, work=work.model_dump(mode="json"))


def block_pruned(
    session: Session,
    job_id: UUID,
    fence: int,
    *,
    block: int,
    position: int,
    matrices: Sequence[MatrixMeasures],
    report: dict[str, Any],
    resumed: bool,
    memory: Mapping[str, int | None] | None = None,
) -> None:
    """Write what one block's matrices came to, the first of them at `position`; the progress and the event with them.

    `resumed` is a block that an earlier attempt has pruned, `memory` the peak while this one did. Repeating it changes nothing,
    so that a caller who lost the connection may not know and try again.
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


def _layer(job_id: UUID, position: int, block: int, matrix: MatrixMeasures) -> Layer:
    rows, columns = matrix.shape
    return Layer(
        job_id=job_id,
        position=position,
        name=matrix.name,
        block=block,
        rows=rows,
        columns=columns,
        sparsity=matrix.sparsity,
        error_start=matrix.error_start,
        error_mask=matrix.error_mask,
        error=matrix.error,
        swaps=matrix.swaps,
        stops=matrix.stops,
        tokens=matrix.tokens,
        seconds=matrix.seconds,
    )


def evaluated(session: Session, job_id: UUID, fence: int, metrics: dict[str, Any], which: str) -> None:
    """Store the metrics known so far; `which` of their parts is new: `dense`, or `pruned` and how it agrees with that."""
    _write(session, job_id, fence, metrics=metrics)
    agreement = {"agreement": metrics["agreement"]} if which == "pruned" and metrics.get("agreement") else {}
    events.append(session, job_id, EventType.EVALUATED, {"model": which, **metrics[which], **agreement})


def _write(session: Session, job_id: UUID, fence: int, **values: Any) -> None:
    held = update(Job).where(Job.id == job_id, Job.fence == fence, Job.state.in_(HELD_STATES)).values(**values).returning(Job.id)
    if session.execute(held, execution_options={"synchronize_session": False}).one_or_none() is None:
        raise StaleFence(job_id, fence)
