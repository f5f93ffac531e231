"""What to know of a job before it is asked for."""

from collections.abc import Iterator, Sequence
from math import ceil

from service.contract import JobSpec
from service.database.tables.workers import Worker
from service.kit.quantities import gib
from service.models.operations import Inspection
from service.planning.holdings import fits_tokens
from service.planning.texts import related


def of_spec(spec: JobSpec, model: Inspection | None) -> Iterator[str]:
    """Of what is asked for, and of the model where it is known."""
    if model is not None:
        yield from model.warnings
        yield from _too_few_tokens(spec, model.outline.widest_input)
    if spec.evaluation.tasks:
        yield (
            "The time of zero-shot tasks is not in the estimate: whether there are such tasks, and how many questions they have, "
            "is known to the workers only. They run the model whole, so that it has to fit into the device's memory."
        )
    for reference in related(spec):
        yield (
            f"{reference} and {spec.calibration.dataset}, with which the model is calibrated, are taken from the same corpus: "
            "texts may be in both, and the perplexity there may say less than it seems to. The job tells how many are."
        )


def _too_few_tokens(spec: JobSpec, widest: int) -> Iterator[str]:
    calibration = spec.calibration
    tokens = calibration.num_samples * calibration.sequence_length
    if fits_tokens(spec.recipe) and tokens < widest:
        enough = ceil(widest / calibration.sequence_length)
        yield (
            f"Calibration has {tokens} tokens, and the model's widest matrix {widest} inputs: the recipe would fit it to these "
            f"tokens and not to the language. {enough} calibration samples instead of {calibration.num_samples} would do."
        )


def of_quota(queued: int, limit: int) -> Iterator[str]:
    if queued >= limit:
        yield f"{queued} jobs are queued, and {limit} may be: the job would be refused until some of them have started."


def of_workers(spec: JobSpec, online: Sequence[Worker], disk: int | None) -> Iterator[str]:
    """`disk`: the bytes that the job needs there, where they are known."""
    kind = "" if spec.device == "any" else f" with a {spec.device.upper()}"
    if not online:
        yield f"No worker{kind} is online now; the job would wait for one."
        return
    most = max(worker.free_disk_bytes for worker in online)
    if disk is not None and disk > most:
        yield f"The job needs up to {gib(disk)} of a worker's disk, and none has more than {gib(most)} free now."
