"""Metrics endpoint of a worker, served by the parent process: the counts of its children, and its own resource usage."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.ops.metrics.exposing import exposed
from service.settings import Settings
from service.workers.repository import Identity
from worker.process.forking import NO_FORK
from worker.process.host_usage import usage


@contextmanager
def metrics_of(settings: Settings, identity: Identity) -> Iterator[None]:
    """Serve the worker's metrics within the context, if a port is set for them. Children started within it are included.

    Raises:
        PortNotUsable: the port cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="dsnot-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        registry.register(WorkerCollector(identity, settings.cache_dir))
        with exposed(settings, registry):
            yield


class WorkerCollector(Collector):
    """Collector of the worker's resource usage, read at each scrape."""

    def __init__(self, identity: Identity, cache_dir: Path) -> None:
        self._identity = identity
        self._cache_dir = cache_dir

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not read the usage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yield the worker's identity and its current usage."""
        with NO_FORK:
            found, known = usage(self._cache_dir), self._identity
        named = {"worker": known.id, "host": known.host, "device": str(known.device), "device_name": known.device_name}
        yield InfoMetricFamily("dsnot_worker", "Identity of the worker.", named | {"version": known.versions["dsnot"]})
        yield _gauge("dsnot_worker_memory_bytes", "Resident memory of the worker's processes.", found.used_memory_bytes)
        yield _gauge("dsnot_worker_host_memory_bytes", "Total memory of the worker's host.", known.host_memory_bytes)
        yield _gauge("dsnot_worker_cache_free_bytes", "Free disk space of the worker's cache.", found.free_disk_bytes)
        if known.device_memory_bytes is not None:
            yield _gauge("dsnot_worker_device_memory_bytes", "Total memory of the worker's device.", known.device_memory_bytes)


def _gauge(name: str, text: str, value: float) -> Metric:
    metric = GaugeMetricFamily(name, text)
    metric.add_metric([], value)
    return metric
