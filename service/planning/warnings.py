"""Warnings about a job before it is created."""

from collections.abc import Iterator, Sequence
from math import ceil

from service.contract.datasets import HUB_DATASETS
from service.contract.recipe.pattern import stay_dense
from service.contract.samples import DEFAULT_MAX_WEIGHT_BYTES
from service.contract.spec import JobSpec
from service.database.tables.workers import Worker
from service.kit.quantities import gib
from service.models.operations import Inspection, warnings_of
from service.models.outline import ModelOutline
from service.planning.texts import related


def of_spec(spec: JobSpec, model: Inspection | None) -> Iterator[str]:
    """Yield warnings about the spec and, if inspected, the model."""
    if model is not None:
        yield from model.warnings
    yield from _of_settings(spec, model.outline if model else None)
    if spec.evaluation.tasks:
        yield (
            "The time of zero-shot tasks is not in the estimate: only the workers know whether the tasks exist, and how many "
            "questions they have. They run the whole model, which has to fit into the device's memory."
        )
    yield from _of_samples(spec, model.outline if model else None)


def of_creation(spec: JobSpec, model: ModelOutline | None) -> Iterator[str]:
    """Yield the warnings of an admitted job that need no worker; `model` is None if the service cannot read it."""
    if model is not None:
        yield from warnings_of(model)
    yield from _of_settings(spec, model)
    yield from _of_samples(spec, model)
    read = (spec.calibration.dataset, *spec.evaluation.perplexity)
    if spec.model.source == "hub" and spec.model.revision is None:  # it gave no answer when the revision was to be pinned
        for reference in dict.fromkeys(each for each in read if each.partition(":")[0] in HUB_DATASETS):
            yield f"The worker reads {reference} from the hub, which gave no answer; c4-sample and wiki-sample need no hub."


def _of_samples(spec: JobSpec, model: ModelOutline | None) -> Iterator[str]:
    samples = spec.evaluation.samples
    size = model.weight_bytes if model is not None else 0
    if samples and size > DEFAULT_MAX_WEIGHT_BYTES and samples.are_taken_of(size):
        yield (
            "Samples load the whole model: a worker without memory for it omits them and adds a warning to the job. Set "
            "evaluation.samples to null to prune one block at a time only."
        )


def _of_settings(spec: JobSpec, model: ModelOutline | None) -> Iterator[str]:
    if model is not None:
        yield from _stay_dense(spec, model)
        yield from _too_few_tokens(spec, model.widest_input)
    for reference in related(spec):
        yield (
            f"{reference} and the calibration data set {spec.calibration.dataset} are taken from the same corpus: texts may be "
            "in both, which makes this perplexity less meaningful. The job's warnings report how many."
        )


def _stay_dense(spec: JobSpec, model: ModelOutline) -> list[str]:
    pattern = spec.recipe.pattern
    misfits = [kind for kind in model.matrix_kinds if not pattern.fits(kind.columns)]
    return stay_dense([(kind.name, (kind.rows, kind.columns)) for kind in misfits for _ in range(kind.count)], pattern)


def _too_few_tokens(spec: JobSpec, widest: int) -> Iterator[str]:
    calibration = spec.calibration
    tokens = calibration.num_samples * calibration.sequence_length
    if spec.recipe.needs_gram and tokens < widest:
        enough = ceil(widest / calibration.sequence_length)
        yield (
            f"Calibration has {tokens} tokens, fewer than the {widest} inputs of the model's widest matrix: the recipe would "
            f"overfit to them. Use at least {enough} calibration samples instead of {calibration.num_samples}."
        )


def of_quota(queued: int, limit: int) -> Iterator[str]:
    """Yield a warning if the tenant's queue is full."""
    if queued >= limit:
        yield f"{queued} jobs are queued, and the quota is {limit}: the job would be refused until some of them have started."


def of_workers(spec: JobSpec, online: Sequence[Worker], disk: int | None) -> Iterator[str]:
    """Yield warnings about the workers online; `disk` is the disk space that the job needs in bytes, if known."""
    kind = "" if spec.device == "any" else f" with a {spec.device.upper()}"
    if not online:
        yield f"No worker{kind} is online now; the job would wait for one."
        return
    most = max(worker.free_disk_bytes for worker in online)
    if disk is not None and disk > most:
        yield f"The job needs up to {gib(disk)} of a worker's disk, and none has more than {gib(most)} free now."
