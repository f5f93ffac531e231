"""Expected start and end of jobs, from the workers online, their current jobs, and past runs on their devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from service.contract.devices import DeviceClass, devices_served_by
from service.contract.spec import JobSpec
from service.contract.states import JobState, Stage
from service.contract.work import Work, kind_of
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.datasets import repository as datasets
from service.jobs import repository as jobs
from service.jobs.attempts.standings import Standing, before, count_running, standings
from service.jobs.least_memory import UNKNOWN, LeastMemory
from service.jobs.timings import repository as speeds
from service.jobs.timings.repository import PastRun
from service.planning.estimates import AFTER_BLOCKS, Estimator, Seconds, estimator, mean_seconds
from service.planning.queueing import Place, Slot, place
from service.planning.remaining import OwnBlocks, Running, seconds_left
from service.planning.texts import evaluated_tokens
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from service.workers import repository as workers
from service.workers.repository import Occupation, RunningJob

_START_UNKNOWN: Final = "start unknown: no worker is online, or one runs a job without an estimate"


@dataclass(frozen=True)
class Outlook:
    """Workers that may run a job, and the history of runs on their devices."""

    online: Sequence[Occupation]
    """Workers of the job's device class."""
    able: Sequence[Occupation]
    """Those of them with memory for the job."""
    history: Sequence[PastRun]
    busy: Sequence[Slot]
    """Those that run a job."""
    _fitted: dict[str, Estimator] = field(default_factory=dict)

    def rates(self, spec: Mapping[str, Any]) -> Estimator:
        """Return the estimator for jobs with the same kind of recipe as this stored spec."""
        kind = kind_of(spec)
        if kind not in self._fitted:
            self._fitted[kind] = estimator(self.history, kind)
        return self._fitted[kind]

    def place(self, standings: Sequence[Standing], tenant: str, before: int) -> Place:
        """Estimate the place of a tenant's job in the queue, with `before` own jobs before it."""
        idle = [Slot(0.0, None) for each in self.able if each.job_id is None]
        return place(standings, tenant, before, [*idle, *self.busy], mean_seconds(self.history))


def outlook(session: Session, settings: Settings, device: str, least: LeastMemory = UNKNOWN) -> Outlook:
    """Collect workers and history for jobs that request this device class, or any, and need this memory."""
    known = workers.occupations(session, silent_seconds=settings.lease_seconds)
    online = [each for each in known if each.is_alive and device in devices_served_by(DeviceClass(each.worker.device))]
    able = [each for each in online if least.fits(each.worker)]
    history = speeds.taken_on(session, {each.worker.device_name for each in able})
    tenants = {each.job_id: each.tenant for each in able if each.job_id is not None}
    seen = Outlook(online, able, history, [])
    running = workers.progressing(session, list(tenants))
    return replace(seen, busy=[Slot(_until_idle(seen, each), tenants[each.job_id]) for each in running])


def _until_idle(seen: Outlook, running: RunningJob) -> float | None:
    left = seconds_left(_running(running), seen.rates(running.spec))
    if left is not None:
        return left.value
    mean = mean_seconds(seen.history) if running.work is None else None
    return None if mean is None else max(0.0, mean - running.elapsed)


def _running(job: RunningJob, work: Work | None = None) -> Running:
    progress = job.progress or {}
    is_whole_stage = progress.get("unit") != "windows"  # those are of one data set
    return Running(
        stage=Stage(job.stage) if job.stage else None,
        elapsed=job.elapsed,
        stage_elapsed=job.stage_elapsed,
        stage_left=progress.get("eta_seconds") if is_whole_stage else None,
        updated_ago=job.updated_ago,
        work=Work.model_validate(job.work) if job.work else work,
        own=OwnBlocks.of(progress) if job.stage == Stage.PRUNING else None,
    )


@dataclass(frozen=True)
class Eta:
    """Expected start and end of an unfinished job; None where unknown."""

    starts_at: datetime | None
    basis_jobs: int
    queue_position: int | None = None
    """Position of a queued job; 1 is claimed next."""
    ends_at: datetime | None = None
    ends_earliest_at: datetime | None = None
    ends_latest_at: datetime | None = None
    from_own_blocks: bool = False
    """Whether the end is estimated from this run's finished blocks."""
    note: str | None = None
    """Why the end is not estimated yet."""


def eta(database: Database, settings: Settings, job: Job) -> Eta | None:
    """Estimate start and end of a queued or running job; None for all others."""
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return None
    with database.begin() as session:
        seen = outlook(session, settings, job.device, LeastMemory.of(job))
        rates, now, work = seen.rates(job.spec), jobs.now(session), _work_of(session, job)
        if job.state == JobState.RUNNING:
            run = next((_running(each, work) for each in workers.progressing(session, [job.id])), None)
            expected = _ending(Eta(job.started_at, rates.jobs), now, seconds_left(run, rates) if run else None)
            is_pruned = job.stage in (Stage.EVALUATING, Stage.PUBLISHING)  # no block is left to measure
            note = None if is_pruned else expected.note
            return replace(expected, from_own_blocks=run is not None and run.counts_own, note=note)
        found = seen.place(standings(session, job.device, job.tenant), job.tenant, before(session, job))
        starts_at = _after(now, found.starts_in)
        if starts_at is not None:
            starts_at = max(starts_at, job.available_at)
        expected = Eta(starts_at, rates.jobs, found.ahead + 1)
        if starts_at is None:
            return replace(expected, note=_why_not(session, settings, seen, job))
        return _ending(expected, starts_at, rates.run(work) if work else None)


def _why_not(session: Session, settings: Settings, seen: Outlook, job: Job) -> str:
    """Return why the start of a queued job is unknown."""
    if seen.online and not seen.able:
        return LeastMemory.of(job).too_little([each.worker for each in seen.online])
    limit = quotas.limits_in(session, settings, job.tenant).max_running_jobs
    if limit == 0:
        return "start unknown: the quota of your tenant lets none of its jobs run"
    if limit is not None and (running := count_running(session, job.tenant)) >= limit:
        return f"start unknown: {running} of at most {limit} jobs of your tenant are running"
    return _START_UNKNOWN


def _ending(expected: Eta, moment: datetime | None, left: Seconds | None) -> Eta:
    if moment is None:
        return replace(expected, note=_START_UNKNOWN)
    if left is None:
        return replace(expected, note=AFTER_BLOCKS)
    value, low, high = (_after(moment, each) for each in left)
    return replace(expected, ends_at=value, ends_earliest_at=low, ends_latest_at=high)


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
