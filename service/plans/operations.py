"""What a job would be, before it is one: everything that a creation checks, and what the job would need. Nothing is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from service.contract import DeviceClass, JobSpec, wants_served_by
from service.contract.recipe import DsnotRefinement, RecipeSpec, SwapsRefinement
from service.database import Database
from service.datasets import operations as datasets
from service.errors import Problem
from service.jobs import admission
from service.jobs import repository as jobs
from service.models import operations as models_seen
from service.models.operations import Inspection
from service.models.outline import ModelOutline
from service.models.refusals import HubUnavailable, ModelUnsupported
from service.models.sources import ModelSources
from service.settings import Settings
from service.workers import repository as workers
from service.workers.tables import Worker


class DoesNotFit(Problem):
    status, type, title = 422, "model-does-not-fit", "No worker has the memory for the model"


@dataclass(frozen=True)
class Plan:
    """A job that has not been asked for yet."""

    spec: JobSpec
    model: Inspection | None
    """None: its place cannot be seen from here, or not now."""
    artifact_bytes: int | None
    disk_bytes: int | None
    """On the worker's disk at the most: what is fetched, its pruned copy, and the finished blocks."""
    calibration_tokens: int
    queue_position: int
    queued_jobs: int
    able_workers: int
    idle_workers: int
    warnings: list[str]


def plan(database: Database, settings: Settings, models: ModelSources, spec: JobSpec, *, tenant: str) -> Plan:
    """Check a spec as a creation would, and look at what it asks for.

    Raises:
        ModelRefused, InvalidInput: a creation would be refused, too.
        DoesNotFit: the model is too large for every worker that could take the job.
    """
    admitted = admission.admit(models, spec, tenant=tenant)
    model, missing = _inspected(models, admitted, tenant)
    if model is not None and model.why_not is not None:
        raise ModelUnsupported(model.why_not)
    with database.begin() as session:
        datasets.hold(session, admitted, tenant=tenant)
        ahead = jobs.ahead_of_new(session, priority=spec.priority, device=spec.device)
        queued = jobs.count_queued(session, tenant)
        known = workers.occupations(session, silent_seconds=settings.lease_seconds)
    able = [each for each in known if each.is_alive and spec.device in wants_served_by(DeviceClass(each.worker.device))]
    needed = None if model is None else _disk(admitted, model.outline)
    online = [each.worker for each in able]
    if model is not None:
        _check_memory(model.outline, online)
    return Plan(
        spec=admitted,
        model=model,
        artifact_bytes=None if model is None else model.outline.weight_bytes,
        disk_bytes=needed,
        calibration_tokens=spec.calibration.num_samples * spec.calibration.sequence_length,
        queue_position=ahead + 1,
        queued_jobs=queued,
        able_workers=len(able),
        idle_workers=sum(each.job_id is None for each in able),
        warnings=[*missing, *(_warnings(admitted, model) if model else ()), *_of_workers(spec, online, needed)],
    )


def _inspected(models: ModelSources, spec: JobSpec, tenant: str) -> tuple[Inspection | None, list[str]]:
    if spec.model.source == "local" and not models.has_folders:
        return None, ["Local models lie on the workers only, so that nothing is known of this one here."]
    try:
        return models_seen.inspect(models, spec.model, tenant=tenant), []
    except HubUnavailable as error:
        pinned = "" if spec.model.revision else ", and its revision is not pinned: the worker will do that"
        return None, [f"Nothing is known of the model now ({error.detail}){pinned}."]


def _disk(spec: JobSpec, model: ModelOutline) -> int:
    copy = model.weight_bytes
    fetched = 0 if spec.model.source == "local" else copy
    return fetched + copy + round(copy * model.prunable_parameters / max(model.parameters, 1))


def _check_memory(model: ModelOutline, online: Sequence[Worker]) -> None:
    """Refuse what is certain not to fit: one block of weights is in memory at the least."""
    needed = model.largest_block * model.bytes_per_parameter
    most = max((worker.device_memory_bytes or worker.host_memory_bytes for worker in online), default=None)
    if most is not None and needed > most:
        detail = f"one block of the model takes {_gib(needed)}, and no worker online has more memory than {_gib(most)}"
        raise DoesNotFit(detail, errors=[{"pointer": "/model/id", "detail": detail}])


def _warnings(spec: JobSpec, model: Inspection) -> Iterator[str]:
    yield from model.warnings
    tokens, widest = spec.calibration.num_samples * spec.calibration.sequence_length, model.outline.widest_input
    if fits_tokens(spec.recipe) and tokens < widest:
        enough = ceil(widest / spec.calibration.sequence_length)
        yield (
            f"Calibration has {tokens} tokens, and the model's widest matrix {widest} inputs: the recipe would fit it to these "
            f"tokens and not to the language. {enough} calibration samples instead of {spec.calibration.num_samples} would do."
        )


def fits_tokens(recipe: RecipeSpec) -> bool:
    """Whether Gram matrices decide anything, which takes as many tokens as a matrix has inputs; the engine's own rule."""
    refinement = recipe.refinement
    checks_rows = isinstance(refinement, DsnotRefinement) and refinement.accept == "if_better"
    is_weighed = recipe.update.method != "none" or recipe.objective == "propagated"
    return checks_rows or is_weighed or isinstance(refinement, SwapsRefinement) or recipe.criterion == "obs"


def _of_workers(spec: JobSpec, online: Sequence[Worker], needed: int | None) -> Iterator[str]:
    kind = "" if spec.device == "any" else f" with a {spec.device.upper()}"
    if not online:
        yield f"No worker{kind} is online now; the job would wait for one."
        return
    most = max(worker.free_disk_bytes for worker in online)
    if needed is not None and needed > most:
        yield f"The job needs up to {_gib(needed)} of a worker's disk, and none has more than {_gib(most)} free now."


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
