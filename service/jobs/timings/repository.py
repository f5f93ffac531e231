"""SQL of run timings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Double, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.contract.states import Stage
from service.contract.work import Work, kind_of
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.timings import RunSpeed
from service.database.tables.workers import Worker

KEPT: Final = 20
"""Number of newest runs stored per recipe kind and device."""
_PER_TOKEN: Final = ("forward", "statistics")
"""Parts of the engine's time that grow with the tokens."""


@dataclass(frozen=True)
class Taken:
    """Total time and work of the stored runs with one kind of recipe."""

    recipe: str
    jobs: int
    token_seconds: float
    tokens: float
    """Calibration tokens × parameters of blocks."""
    weight_seconds: float
    weights: float
    evaluating_seconds: float
    evaluated: float
    """Evaluated tokens × parameters."""
    other_seconds: float
    bytes: float


def learn(session: Session, job_id: UUID, metrics: Mapping[str, Any]) -> None:
    """Store the timings of a successful run, unless it resumed an earlier attempt, whose time would be missing."""
    row = session.execute(
        select(Job.spec, Job.work, Worker.device, Worker.device_name)
        .join(Attempt, Attempt.job_id == Job.id)
        .join(Worker, Worker.id == Attempt.worker)
        .where(Job.id == job_id, Job.attempts_started == 1, Job.retry_of.is_(None), Job.work.is_not(None))
    ).one_or_none()
    seconds, engine = metrics.get("seconds", {}), metrics.get("engine_seconds", {})
    if row is None or not engine or not all(stage in seconds for stage in Stage):
        return
    spec, work, device, device_name = row
    kind, done = kind_of(spec), Work.model_validate(work)
    about = {"job_id": job_id, "device": device, "device_name": device_name, "recipe": kind}
    taken = _taken(seconds, sum(engine.get(part, 0.0) for part in _PER_TOKEN), done)
    session.execute(insert(RunSpeed).values(**about, **done.model_dump(), **taken).on_conflict_do_nothing())
    _forget_old(session, device_name, kind)


def _taken(seconds: Mapping[str, float], per_token: float, done: Work) -> dict[str, float]:
    """Group the stages' seconds by what they grow with; evaluation without tokens counts as other."""
    evaluating = seconds[Stage.EVALUATING]
    other = sum(seconds[stage] for stage in (Stage.RESOLVING, Stage.LOADING, Stage.PUBLISHING))
    return {
        "token_seconds": per_token,
        "weight_seconds": max(0.0, seconds[Stage.PRUNING] - per_token),
        "evaluating_seconds": evaluating if done.evaluated_tokens else 0.0,
        "other_seconds": other if done.evaluated_tokens else other + evaluating,
    }


def _forget_old(session: Session, device_name: str, kind: str) -> None:
    alike = (RunSpeed.device_name == device_name) & (RunSpeed.recipe == kind)
    newest = select(RunSpeed.job_id).where(alike).order_by(RunSpeed.finished_at.desc(), RunSpeed.job_id).limit(KEPT)
    session.execute(
        delete(RunSpeed).where(alike, RunSpeed.job_id.not_in(newest)), execution_options={"synchronize_session": False}
    )


def taken_on(session: Session, device_names: Collection[str]) -> Sequence[Taken]:
    """Return the totals of the stored runs on these devices, by kind of recipe."""
    statement = (
        select(
            RunSpeed.recipe,
            func.count(),
            _sum(RunSpeed.token_seconds),
            _sum(RunSpeed.block_parameters, RunSpeed.calibration_tokens),
            _sum(RunSpeed.weight_seconds),
            _sum(RunSpeed.block_parameters),
            _sum(RunSpeed.evaluating_seconds),
            _sum(RunSpeed.parameters, RunSpeed.evaluated_tokens),
            _sum(RunSpeed.other_seconds),
            _sum(RunSpeed.bytes),
        )
        .where(RunSpeed.device_name.in_(device_names))
        .group_by(RunSpeed.recipe)
    )
    return [Taken(*row) for row in session.execute(statement)]


def _sum(first: InstrumentedAttribute[Any], *others: InstrumentedAttribute[Any]) -> Any:
    """Σ of a product, in float64: no integer overflows."""
    product: ColumnElement[Any] = cast(first, Double)
    for other in others:
        product *= cast(other, Double)
    return func.sum(product)
