"""Dry run of a job creation: all of its checks, and the resources that the job would need. Nothing is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.contract.devices import DeviceInfo
from service.contract.disk import written_bytes
from service.contract.serving_memory import ServingMemory, serving_memory
from service.contract.spec import JobSpec
from service.contract.work import Work
from service.database.engine import Database
from service.database.tables.workers import Worker
from service.datasets import operations as datasets
from service.datasets import repository as uploads
from service.jobs import admission
from service.jobs import repository as jobs
from service.jobs.attempts.standings import before_new, standings
from service.models import operations as models_seen
from service.models.operations import Inspection
from service.models.outline import ModelOutline
from service.models.refusals import HubUnavailable, ModelUnsupported
from service.models.sources import ModelSources
from service.planning import capacity as fitting
from service.planning import warnings
from service.planning.estimates import AFTER_BLOCKS, BLOCKS_BEFORE, REACH, Estimator, Seconds
from service.planning.eta import Outlook, outlook, tokens_of
from service.planning.texts import text_tokens
from service.settings import Settings
from service.tenants.quotas import operations as quotas


@dataclass(frozen=True)
class Estimate:
    """Estimated run time and wait in seconds; None where there are no data."""

    run: Seconds | None
    starts_in_seconds: float | None
    rates: Estimator
    device_names: Sequence[str]
    note: str | None
    """Why there is no run time."""


@dataclass(frozen=True)
class Plan:
    """Result of a dry run: the admitted spec and the resources that the job would need."""

    spec: JobSpec
    model: Inspection | None
    """None: the service cannot read the model, or not at the moment."""
    artifact_bytes: int | None
    disk_bytes: int | None
    """Maximum use of the worker's disk: downloaded model, pruned copy, finished blocks, formats, activations beyond memory."""
    serving: ServingMemory | None
    memory: Sequence[fitting.Memory]
    """One per eligible device class: those online, or all if there are none."""
    estimate: Estimate
    calibration_tokens: int
    queue_position: int
    queued_jobs: int
    max_queued_jobs: int
    devices: Sequence[DeviceInfo]
    """Devices of the workers online that may run the job, without repetitions."""
    able_workers: int
    idle_workers: int
    warnings: list[str]


def plan(database: Database, settings: Settings, models: ModelSources, spec: JobSpec, *, tenant: str) -> Plan:
    """Check a spec as a job creation does, and estimate its resources.

    Raises:
        ModelRefused, InvalidInput: a job creation would fail in the same way.
        DoesNotFit: the model is too large for every worker that could run the job.
    """
    admitted = admission.admit(models, settings, spec, tenant=tenant)
    model, missing = _inspected(models, admitted, tenant)
    if model is not None and model.why_not is not None:
        raise ModelUnsupported(model.why_not)
    if model is not None:
        admission.check_fit(admitted, model.outline)
    least = fitting.least_memory(admitted, model.outline if model else None)
    with database.begin() as session:
        quotas.check_priority(session, settings, spec, tenant)
        datasets.hold(session, admitted, tenant=tenant)
        queued, limit = jobs.count_queued(session, tenant), quotas.limits_in(session, settings, tenant).max_queued_jobs
        uploaded = uploads.characters(session, set(spec.uploads().values()), tenant=tenant)
        seen = outlook(session, settings, spec.device, least)
        before = before_new(session, tenant=tenant, priority=spec.priority, device=spec.device)
        place = seen.place(standings(session, spec.device, tenant), tenant, before)
    online = [each.worker for each in seen.online]
    memory = [] if model is None else fitting.memory_of(model.outline, admitted, online, text_tokens(spec, uploaded))
    fitting.check(memory, online)
    disk = None if model is None else _disk(admitted, model.outline) + fitting.spilled(memory, online)
    estimate = _estimate(seen, admitted, model, place.starts_in, uploaded)
    found_warnings = [*missing, *warnings.of_spec(admitted, model), *warnings.of_quota(queued, limit)]
    found_warnings += [
        *warnings.of_workers(admitted, online, disk),
        *fitting.warnings_of(memory, online),
        *_of_estimate(estimate, has_model=model is not None),
    ]
    return Plan(
        spec=admitted,
        model=model,
        artifact_bytes=None if model is None else model.outline.weight_bytes,
        disk_bytes=disk,
        serving=None if model is None else _serving(admitted, model.outline),
        memory=memory,
        estimate=estimate,
        calibration_tokens=spec.calibration.num_samples * spec.calibration.sequence_length,
        queue_position=place.ahead + 1,
        queued_jobs=queued,
        max_queued_jobs=limit,
        devices=_devices(online),
        able_workers=len(seen.able),
        idle_workers=sum(each.job_id is None for each in seen.able),
        warnings=found_warnings,
    )


def _inspected(models: ModelSources, spec: JobSpec, tenant: str) -> tuple[Inspection | None, list[str]]:
    if spec.model.source == "local" and not models.has_folders:
        return None, ["Local models are on the workers only, so the service cannot inspect this one."]
    try:
        return models_seen.inspect(models, spec.model, tenant=tenant), []
    except HubUnavailable as error:
        pinned = "" if spec.model.revision else ", and its revision is not pinned: the worker will do that"
        return None, [f"The model cannot be inspected now ({error.detail}){pinned}."]


def _devices(online: Sequence[Worker]) -> list[DeviceInfo]:
    devices = [DeviceInfo.of(each.device_name, each.device_memory_bytes, each.versions) for each in online]
    return sorted((each for number, each in enumerate(devices) if each not in devices[:number]), key=str)


def _serving(spec: JobSpec, model: ModelOutline) -> ServingMemory:
    return serving_memory(
        parameters=model.parameters,
        prunable=model.prunable_parameters,
        bytes_per_parameter=model.bytes_per_parameter,
        zeros=spec.recipe.pattern.pruned_share,
    )


def _disk(spec: JobSpec, model: ModelOutline) -> int:
    copy = model.weight_bytes
    fetched = 0 if spec.model.source == "local" else copy
    prunable = round(copy * model.prunable_parameters / max(model.parameters, 1))
    return fetched + written_bytes(spec, weights=copy, prunable=prunable)


def _estimate(
    seen: Outlook, spec: JobSpec, model: Inspection | None, starts_in: float | None, uploaded: dict[str, int]
) -> Estimate:
    rates, names = seen.rates(spec.model_dump(mode="json")), sorted({each.worker.device_name for each in seen.able})
    run = run_time(seen, spec, model, uploaded)
    return Estimate(run, starts_in, rates, names, None if run else AFTER_BLOCKS)


def run_time(seen: Outlook, spec: JobSpec, model: Inspection | None, uploaded: dict[str, int]) -> Seconds | None:
    """Estimate the time from the claim to the end; None for an unknown model, and where no past run is of about this size."""
    if model is None:
        return None
    outline = model.outline
    sizes = {
        "parameters": outline.parameters,
        "block_parameters": outline.block_parameters,
        "bytes": outline.weight_bytes,
        "blocks": outline.blocks,
    }
    return seen.rates(spec.model_dump(mode="json")).run(
        Work.model_validate(sizes | tokens_of(spec, uploaded, outline.weight_bytes))
    )


def _of_estimate(estimate: Estimate, *, has_model: bool) -> Iterator[str]:
    if not estimate.device_names:
        return
    if not estimate.rates.jobs:
        yield "No job has succeeded on the devices of the workers online yet, so there is no estimate of the run time."
    elif estimate.run is None:
        if has_model:
            yield (
                f"No past job on these devices is of about this size (within {REACH:.0f} times): the run time can be estimated "
                f"after {BLOCKS_BEFORE} blocks."
            )
    elif not estimate.rates.is_same_recipe:
        yield "No job with a recipe of this kind has succeeded on these devices yet: the estimate is based on other recipes."
