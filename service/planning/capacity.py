"""Memory check of a job against the workers that could run it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.contract.devices import ANY_DEVICE, DeviceClass
from service.contract.engine_sizes import ACTIVATIONS_SHARE
from service.contract.spec import JobSpec
from service.database.tables.workers import Worker
from service.errors import Problem
from service.jobs.least_memory import UNKNOWN, LeastMemory
from service.kit.quantities import gib
from service.models.outline import ModelOutline
from service.planning.memory import Peak, TextTokens, peak
from service.planning.texts import text_tokens


class DoesNotFit(Problem):
    """Model that is too large for the memory of every worker online."""

    status, type, title = 422, "model-does-not-fit", "Model does not fit into any worker's memory"


@dataclass(frozen=True)
class Memory:
    """Memory that a job needs on one device class: the normal peak, and the minimum."""

    device: DeviceClass
    most: Peak
    least: Peak


def memory_of(model: ModelOutline, spec: JobSpec, online: Sequence[Worker], texts: TextTokens) -> list[Memory]:
    """Estimate the memory for each eligible device class: those with a worker online, or all if there is none."""
    wanted = list(DeviceClass) if spec.device == ANY_DEVICE else [DeviceClass(spec.device)]
    there = {worker.device for worker in online}
    return [
        Memory(device, peak(model, spec, device, texts), peak(model, spec, device, texts, least=True))
        for device in wanted
        if device in there or not there
    ]


def least_memory(spec: JobSpec, model: ModelOutline | None) -> LeastMemory:
    """Return the smallest memory in which a worker can run the job; texts that a tenant uploaded count nothing."""
    if model is None:
        return UNKNOWN
    texts = text_tokens(spec, {})
    cpu, gpu = (peak(model, spec, device, texts, least=True) for device in (DeviceClass.CPU, DeviceClass.GPU))
    return LeastMemory(cpu.host.bytes, gpu.host.bytes, gpu.device.bytes if gpu.device else None)


def check(memory: Sequence[Memory], online: Sequence[Worker]) -> None:
    """Raise DoesNotFit if the job fits no worker online, even with the smallest batch and activations in files."""
    needed = {each.device: each.least for each in memory}
    tried = [(worker, needed[DeviceClass(worker.device)]) for worker in online if needed]
    if not tried or any(_fits(need, worker) for worker, need in tried):
        return
    worker, need = max(tried, key=lambda each: each[0].device_memory_bytes or each[0].host_memory_bytes)
    detail = (
        f"even with the smallest batch it needs {_sizes(need)}, and no worker online has that; the largest has {_has(worker)}"
    )
    raise DoesNotFit(detail, errors=[{"pointer": "/model/id", "detail": detail}])


def spilled(memory: Sequence[Memory], online: Sequence[Worker]) -> int:
    """Return the bytes of activations that the worker with the most memory would keep in files; 0 if no worker is online."""
    if not memory or not online:
        return 0
    activations = min(each.most.host.bytes - each.least.host.bytes for each in memory)
    return max(0, activations - round(ACTIVATIONS_SHARE * max(worker.host_memory_bytes for worker in online)))


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
    """Yield a warning if the job only fits with smaller batches and activations in files."""
    needed = {each.device: each.most for each in memory}
    if online and needed and not any(_fits(needed[DeviceClass(worker.device)], worker) for worker in online):
        least = min(needed.values(), key=lambda need: need.computing.bytes)
        yield (
            f"At its peak the job would need {_sizes(least)}, more than any worker online has: it would run more slowly, with "
            "smaller batches and activations on disk."
        )
