"""Advance of sweeps by the dispatcher: events about points that have ended, a search's next point, and the end.

Each step is one transaction with the sweep's row locked, and follows from the jobs' rows alone: after a crash it is repeated.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from service.artifacts import repository as artifacts
from service.contract.figures import figures
from service.contract.states import JobState
from service.contract.sweeps import SweepEventType, SweepSpec, SweepState
from service.database.engine import Session
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.errors import Problem
from service.jobs import operations as jobs
from service.jobs import sweep_links
from service.jobs.insertion import Origin
from service.jobs.least_memory import UNKNOWN, LeastMemory
from service.logging import get_logger
from service.settings import Settings
from service.sweeps import front as pareto
from service.sweeps import repository
from service.sweeps.points import Misfit, Values, job_spec, named
from service.sweeps.searching import Measured, Progress, SearchFailed, progress

log = get_logger(__name__)

_UNSUCCESSFUL: Final = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)


def advance(session: Session, settings: Settings, sweep: Sweep) -> None:
    """Write the events of points that have ended, then add the next point or end the sweep. The sweep's row is locked."""
    _note_ends(session, sweep)
    points = repository.points(session, sweep.id)
    if any(job.finished_at is None for job in points):
        return
    if sweep.state == SweepState.CANCELLING:
        _finish(session, sweep, SweepState.CANCELLED)
        return
    states = {JobState(job.state) for job in points}
    spec = SweepSpec.model_validate(sweep.spec)
    if states & set(_UNSUCCESSFUL):
        is_failed = bool(states & {JobState.FAILED, JobState.EXPIRED})
        _finish(session, sweep, SweepState.FAILED if is_failed else SweepState.CANCELLED)
    elif not spec.is_search:
        _finish_with_artifacts(session, sweep, spec, points, None)
    elif sweep.state == SweepState.RUNNING:
        _search_on(session, settings, sweep, spec, points)


def _note_ends(session: Session, sweep: Sweep) -> None:
    for job in repository.ended_unnoted(session, sweep.id):
        about = {"position": job.sweep_position, "values": job.sweep_values, "job_id": str(job.id), "state": job.state}
        seq = sweep_links.append(session, sweep.id, SweepEventType.POINT_ENDED, about)
        repository.note_end(session, job.id, seq)


def _search_on(session: Session, settings: Settings, sweep: Sweep, spec: SweepSpec, points: Sequence[Job]) -> None:
    measured = [Measured(job.sweep_position or 0, job.sweep_values or {}, job.metrics or {}) for job in points]
    try:
        found = progress(spec, measured)
        sweep.search = search_row(found)
        if found.next_values is None:
            _finish_with_artifacts(session, sweep, spec, points, found)
        else:
            following = max((each.position for each in measured), default=-1) + 1
            model = {"model": points[0].spec["model"]} if points else {}  # a worker may have pinned its revision
            pinned = spec.model_copy(update={"template": spec.template | model})
            least = LeastMemory.of(points[0]) if points else UNKNOWN
            add_point(session, settings, sweep, pinned, found.next_values, position=following, least=least)
    except jobs.QuotaExceeded:
        log.debug("sweep_waits_for_quota", sweep_id=str(sweep.id))
    except (SearchFailed, Problem, Misfit) as error:
        sweep.error = {"detail": error.detail if isinstance(error, Problem) else str(error)}
        _finish(session, sweep, SweepState.FAILED)


def add_point(
    session: Session,
    settings: Settings,
    sweep: Sweep,
    spec: SweepSpec,
    values: Values,
    *,
    position: int,
    least: LeastMemory,
) -> Job:
    """Add a point to a search, and write its event. Raise what `jobs.add` raises."""
    precedence = 1 if position else 0  # before jobs of the same priority that were created since: a search has one job at a time
    origin = Origin(sweep_id=sweep.id, position=position, values=values, precedence=precedence)
    point = named(job_spec(spec.template, values), sweep.name, position)
    job = jobs.add(session, settings, point, tenant=sweep.tenant, origin=origin, least=least)
    about = {"position": position, "values": values, "job_id": str(job.id)}
    sweep_links.append(session, sweep.id, SweepEventType.POINT_ADDED, about)
    return job


def search_row(found: Progress) -> dict[str, Any]:
    """Return the progress of a search as its row stores it."""

    def end(index: int | None) -> dict[str, Any] | None:
        return None if index is None else {"position": found.positions[index], "values": found.candidates[index].values}

    return {
        "end": found.end,
        "answer": end(found.bracket.low),
        "next": end(found.bracket.high),
        "candidates": len(found.candidates),
        "monotone": found.is_monotone,
    }


def _finish_with_artifacts(
    session: Session, sweep: Sweep, spec: SweepSpec, points: Sequence[Job], found: Progress | None
) -> None:
    answer = _answer(points, found)
    kept = _kept(spec, points, answer)
    artifacts.expire_of_sweep(session, [job.id for job in points if job.id not in kept])
    about: dict[str, Any] = {} if found is None else {"end": found.end}
    if answer is not None:
        about |= {"job_id": str(answer.id), "position": answer.sweep_position, "values": answer.sweep_values}
    _finish(session, sweep, SweepState.FINISHED, about)


def _answer(points: Sequence[Job], found: Progress | None) -> Job | None:
    if found is None or found.bracket.low is None:
        return None
    return next(job for job in points if job.sweep_position == found.positions[found.bracket.low])


def _kept(spec: SweepSpec, points: Sequence[Job], answer: Job | None) -> set[UUID]:
    """Return the jobs whose artifacts stay. A search without an answer keeps all: its points may still be of use."""
    everything = {job.id for job in points}
    if spec.kept == "front":
        measured = [figures(job.metrics) for job in points]
        on_front = pareto.front(measured, pareto.chosen(measured, ()))
        return {job.id for index, job in enumerate(points) if index in on_front} or everything
    return {answer.id} if spec.kept == "best" and answer is not None else everything


def _finish(session: Session, sweep: Sweep, state: SweepState, data: dict[str, Any] | None = None) -> None:
    repository.finish(session, sweep, state, data)
    log.info("sweep_ended", sweep_id=str(sweep.id), state=state)
