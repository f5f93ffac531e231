"""Scale of a search's candidates: where points were measured, whether they meet the target, and the open interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.contract.states import TERMINAL_STATES, JobState
from service.contract.sweeps import SweepSpec
from service.database.tables.jobs import Job
from service.sweeps.candidates import PRESET, Candidate, candidates, index_of
from service.sweeps.schemas import gap_of
from service.sweeps.wording import values_text


def scale_of(spec: SweepSpec, jobs: Sequence[Job], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scale as its script draws it, in indices of the candidates; `found` is the stored progress of the search."""
    assert spec.over is not None
    known = candidates(spec.over)
    ends = [index_of(end["values"], known) if (end := found.get(name)) else None for name in ("answer", "next")]
    return {
        "names": [values_text(each.values) for each in known],
        "low": ends[0],
        "high": ends[1],
        "is_open": found.get("end") is None,
        "points": [point for job in jobs if (point := _point(spec, job, known))],
    }


def _point(spec: SweepSpec, job: Job, known: Sequence[Candidate]) -> dict[str, Any] | None:
    at, gap = index_of(job.sweep_values or {}, known), gap_of(spec, job)
    if at is None:
        return None
    is_open = job.state not in TERMINAL_STATES
    verdict = "running" if is_open else "failed" if gap is None else "meets" if gap <= 0 else "misses"
    if is_open and job.state == JobState.QUEUED:
        verdict = "queued"
    is_first = spec.try_first is not None and PRESET in (job.sweep_values or {})
    return {"at": at, "verdict": verdict, "job": str(job.id), "text": values_text(job.sweep_values or {}), "first": is_first}
