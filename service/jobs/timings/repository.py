"""SQL of run timings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Double, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.contract.states import Stage
from service.contract.work import Work, kind_of
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.timings import RunSpeed
from service.database.tables.workers import Worker

KEPT: Final = 12
"""Number of newest runs stored per device, kind of recipe and order of magnitude of the calibration."""
_MOST_READ: Final = 300
"""Newest runs from which estimates are made."""
_PER_TOKEN: Final = ("forward", "statistics")
"""Parts of the engine's time that grow with the tokens."""


@dataclass(frozen=True)
class PastRun:
    """Work and times of one stored run."""

    recipe: str
    """Kind of recipe, from `service.contract.work.kind_of`."""
    work: Work
    fixed_seconds: float
    """Time of the start, of resolving, loading and publishing."""
    pruning_seconds: float
    evaluating_seconds: float

    @property
    def seconds(self) -> float:
        """Return the whole run time."""
        return self.fixed_seconds + self.pruning_seconds + self.evaluating_seconds


def learn(session: Session, job_id: UUID, metrics: Mapping[str, Any]) -> None:
    """Store the timings of a successful run, unless it resumed an earlier attempt, whose time would be missing."""
    row = session.execute(
        select(Job.spec, Job.work, Worker.device, Worker.device_name, cast(_elapsed(), Double))
        .join(Attempt, Attempt.job_id == Job.id)
        .join(Worker, Worker.id == Attempt.worker)
        .where(Job.id == job_id, Job.attempts_started == 1, Job.retry_of.is_(None), Job.work.is_not(None))
    ).one_or_none()
    seconds, engine = metrics.get("seconds", {}), metrics.get("engine_seconds", {})
    if row is None or not engine or not all(stage in seconds for stage in Stage):
        return
    spec, work, device, device_name, elapsed = row
    kind, done = kind_of(spec), Work.model_validate(work)
    about = {"job_id": job_id, "device": device, "device_name": device_name, "recipe": kind}
    taken = _taken(seconds, sum(engine.get(part, 0.0) for part in _PER_TOKEN), done)
    taken["start_seconds"] = max(0.0, elapsed - sum(seconds[stage] for stage in Stage))
    session.execute(insert(RunSpeed).values(**about, **done.model_dump(), **taken).on_conflict_do_nothing())
    _forget_old(session, device_name, kind, done)


def _elapsed() -> ColumnElement[Any]:
    return func.extract("epoch", func.now() - Attempt.started_at)


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


def _forget_old(session: Session, device_name: str, kind: str, done: Work) -> None:
    """Delete all but the newest runs like this one, so that many small runs do not replace the few large ones."""
    magnitude = func.floor(func.log(_calibrated(RunSpeed.block_parameters, RunSpeed.calibration_tokens)))
    same_magnitude = magnitude == func.floor(func.log(_calibrated(done.block_parameters, done.calibration_tokens)))
    alike = (RunSpeed.device_name == device_name) & (RunSpeed.recipe == kind) & same_magnitude
    newest = select(RunSpeed.job_id).where(alike).order_by(RunSpeed.finished_at.desc(), RunSpeed.job_id).limit(KEPT)
    session.execute(
        delete(RunSpeed).where(alike, RunSpeed.job_id.not_in(newest)), execution_options={"synchronize_session": False}
    )


def _calibrated(parameters: Any, tokens: Any) -> ColumnElement[float]:
    """Parameters × tokens in float64, where no integer overflows, and at least 1."""
    return func.greatest(cast(parameters, Double) * cast(tokens, Double), 1.0)


def taken_on(session: Session, device_names: Collection[str]) -> Sequence[PastRun]:
    """Return the newest stored runs on these devices, oldest first."""
    ours = select(RunSpeed).where(RunSpeed.device_name.in_(device_names))
    newest = session.scalars(ours.order_by(RunSpeed.finished_at.desc(), RunSpeed.job_id.desc()).limit(_MOST_READ)).all()
    return [_past_run(run) for run in reversed(newest)]


def _past_run(run: RunSpeed) -> PastRun:
    return PastRun(
        recipe=run.recipe,
        work=Work(**{name: getattr(run, name) for name in Work.model_fields}),
        fixed_seconds=run.other_seconds + (run.start_seconds or 0.0),
        pruning_seconds=run.token_seconds + run.weight_seconds,
        evaluating_seconds=run.evaluating_seconds,
    )
