"""Expected start and end of jobs, from the workers online, their current jobs, and past runs on their devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from service.contract.devices import DeviceClass, devices_served_by
from service.contract.spec import JobSpec
from service.contract.states import JobState, Stage
from service.contract.work import Work, kind_of
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.datasets import repository as datasets
from service.jobs import repository as jobs
from service.jobs.timings import repository as speeds
from service.jobs.timings.repository import Taken
from service.planning.estimates import Estimator, Running, estimator, seconds_left, starts_in
from service.planning.texts import evaluated_tokens
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Occupation, RunningJob


@dataclass(frozen=True)
class Outlook:
    """Workers that may run a job, and the history of runs on their devices."""

    able: Sequence[Occupation]
    history: Sequence[Taken]
    busy: Sequence[float | None]
    """Seconds until each busy worker is idle; None where unknown."""

    def rates(self, spec: Mapping[str, Any]) -> Estimator | None:
        """Return the rates for jobs with the same kind of recipe as this stored spec."""
        return estimator(self.history, kind_of(spec))

    def starts_in(self, ahead: int) -> float | None:
        """Estimate the seconds until a worker claims a job with `ahead` jobs before it in the queue."""
        rates = estimator(self.history, kind="")
        idle = sum(each.job_id is None for each in self.able)
        return starts_in(idle=idle, busy=self.busy, ahead=ahead, mean_seconds=rates.mean_seconds if rates else None)


def outlook(session: Session, settings: Settings, device: str) -> Outlook:
    """Collect workers and history for jobs that request this device class, or any."""
    known = workers.occupations(session, silent_seconds=settings.lease_seconds)
    able = [each for each in known if each.is_alive and device in devices_served_by(DeviceClass(each.worker.device))]
    history = speeds.taken_on(session, {each.worker.device_name for each in able})
    progressing = workers.progressing(session, [each.job_id for each in able if each.job_id is not None])
    return Outlook(able, history, [_left(each, history) for each in progressing])


def _left(running: RunningJob, history: Sequence[Taken]) -> float | None:
    rates = estimator(history, kind_of(running.spec))
    progress = Running(
        stage=Stage(running.stage) if running.stage else None,
        elapsed=running.elapsed,
        stage_left=(running.progress or {}).get("eta_seconds"),
        updated_ago=running.updated_ago,
        work=Work.model_validate(running.work) if running.work else None,
    )
    return seconds_left(progress, rates)


@dataclass(frozen=True)
class Eta:
    """Expected start and end of an unfinished job; None where unknown."""

    starts_at: datetime | None
    ends_at: datetime | None
    basis_jobs: int


def eta(database: Database, settings: Settings, job: Job) -> Eta | None:
    """Estimate start and end of a queued or running job; None for all others."""
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return None
    with database.begin() as session:
        seen = outlook(session, settings, job.device)
        rates, now = seen.rates(job.spec), jobs.now(session)
        basis = rates.jobs if rates else 0
        if job.state == JobState.RUNNING:
            left = next((_left(each, seen.history) for each in workers.progressing(session, [job.id])), None)
            return Eta(job.started_at, _after(now, left), basis)
        waits = seen.starts_in(jobs.ahead_of(session, job))
        starts_at = _after(now, waits)
        if starts_at is not None:
            starts_at = max(starts_at, job.available_at)
        work = _work_of(session, job)
        return Eta(starts_at, _after(starts_at, rates.run(work) if rates and work else None), basis)


def _work_of(session: Session, job: Job) -> Work | None:
    """Return the job's work if an attempt has measured it, else an earlier job's with the same model, with this job's tokens."""
    if job.work is not None:
        return Work.model_validate(job.work)
    known = jobs.work_of_model(session, job)
    try:
        spec = JobSpec.model_validate(job.spec)
    except ValidationError:  # written by another version of the service
        return None
    if known is None:
        return None
    uploaded = datasets.characters(session, set(spec.uploads().values()), tenant=job.tenant)
    work = Work.model_validate(known)
    return work.model_copy(update=tokens_of(spec, uploaded, work.bytes))


def tokens_of(spec: JobSpec, uploaded: dict[str, int], weight_bytes: int) -> dict[str, int]:
    """Return the token counts of a spec for a model with these bytes of weights, as fields of `Work`."""
    calibration = spec.calibration.num_samples * spec.calibration.sequence_length
    return {"calibration_tokens": calibration, "evaluated_tokens": evaluated_tokens(spec, uploaded, weight_bytes)}


def _after(moment: datetime | None, seconds: float | None) -> datetime | None:
    return None if moment is None or seconds is None else moment + timedelta(seconds=seconds)
