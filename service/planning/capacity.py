"""Whether a job fits into the memory of the workers that could take it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.contract import ANY_DEVICE, DeviceClass, JobSpec
from service.database.tables.workers import Worker
from service.errors import Problem
from service.kit.quantities import gib
from service.models.outline import ModelOutline
from service.planning.memory import Peak, TextTokens, peak


class DoesNotFit(Problem):
    status, type, title = 422, "model-does-not-fit", "No worker has the memory for the model"


@dataclass(frozen=True)
class Memory:
    """What a worker of one class needs: at the most, and what it cannot do without."""

    device: DeviceClass
    most: Peak
    least: Peak


def memory_of(model: ModelOutline, spec: JobSpec, online: Sequence[Worker], texts: TextTokens) -> list[Memory]:
    """For each class of device that may take the job: of those that are online, or of all where none is."""
    wanted = list(DeviceClass) if spec.device == ANY_DEVICE else [DeviceClass(spec.device)]
    there = {worker.device for worker in online}
    return [
        Memory(device, peak(model, spec, device, texts), peak(model, spec, device, texts, least=True))
        for device in wanted
        if device in there or not there
    ]


def check(memory: Sequence[Memory], online: Sequence[Worker]) -> None:
    """Refuse what fits nowhere, even with the smallest batch and with activations in files. Raises DoesNotFit."""
    needed = {each.device: each.least for each in memory}
    tried = [(worker, needed[DeviceClass(worker.device)]) for worker in online if needed]
    if not tried or any(_fits(need, worker) for worker, need in tried):
        return
    worker, need = max(tried, key=lambda each: each[0].device_memory_bytes or each[0].host_memory_bytes)
    detail = (
        f"even with the smallest batch it takes {_sizes(need)}, and no worker online has that; the largest has {_has(worker)}"
    )
    raise DoesNotFit(detail, errors=[{"pointer": "/model/id", "detail": detail}])


def _fits(need: Peak, worker: Worker) -> bool:
    on_device = need.device is None or need.device.bytes <= (worker.device_memory_bytes or 0)
    return on_device and need.host.bytes <= worker.host_memory_bytes


def _sizes(need: Peak) -> str:
    made_of = need.computing
    parts = ", ".join(f"{gib(size)} {name}" for name, size in sorted(made_of.terms.items(), key=lambda term: -term[1]))
    device = f"{gib(need.device.bytes)} of the device's memory and " if need.device else ""
    return f"{device}{gib(need.host.bytes)} of the host's ({made_of.phase}: {parts})"


def _has(worker: Worker) -> str:
    device = f"{gib(worker.device_memory_bytes)} on its device and " if worker.device_memory_bytes else ""
    return f"{device}{gib(worker.host_memory_bytes)} on its host"


def warnings_of(memory: Sequence[Memory], online: Sequence[Worker]) -> Iterator[str]:
    needed = {each.device: each.most for each in memory}
    if online and needed and not any(_fits(needed[DeviceClass(worker.device)], worker) for worker in online):
        least = min(needed.values(), key=lambda need: need.computing.bytes)
        yield (
            f"At its peak the job would take {_sizes(least)}, more than any worker online has: it would run with smaller "
            "batches and with activations on the disk, and more slowly."
        )
