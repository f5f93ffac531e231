"""Prometheus collector of figures from the database, read on scrape and cached for five seconds."""

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.logging import get_logger
from service.ops.metrics import repository
from service.ops.metrics.queue import Waiting, waiting
from service.ops.metrics.repository import Backlog, JobCounts, Leases
from service.settings import Settings
from service.workers import repository as workers
from service.workers.schemas import WorkerState, state_of

log = get_logger(__name__)
_Labels = TypeVar("_Labels", bound=tuple[str, ...])

_KEEP_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 4.0
"""Timeout of the database. The scrape is answered earlier; the next one gets the result of a late query."""


@dataclass(frozen=True)
class Snapshot:
    """Figures of one read of the database."""

    jobs: Mapping[str, JobCounts]
    sweeps: Mapping[str, int]
    queue: Waiting
    outbox: Backlog
    webhooks: Backlog
    leases: Leases
    workers: Mapping[tuple[str, str], int]
    """Number of workers by state and device class."""


class DatabaseCollector(Collector):
    """Collector that reports only `dsnot_database_up 0` while the database does not answer, because old figures would mislead."""

    def __init__(self, settings: Settings) -> None:
        self._silent_seconds = settings.lease_seconds
        self._database = Database(settings.database_address, pool_size=1, answer_seconds=_ANSWER_SECONDS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._lock = threading.Lock()
        self._look: Future[Snapshot | None] | None = None
        self._looked_at = 0.0

    def describe(self) -> Iterable[Metric]:
        """Return no metrics, so that registration does not query the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the latest snapshot."""
        try:
            snapshot = self._latest_look().result(_WAIT_SECONDS)
        except TimeoutError:
            snapshot = None
        yield _gauge("dsnot_database_up", "1 if the database answers, else 0.", {(): snapshot is not None})
        if snapshot is not None:
            yield from _metrics(snapshot)

    def close(self) -> None:
        """Stop the thread and close the pool."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._database.close()

    def _latest_look(self) -> "Future[Snapshot | None]":
        """Return the running query, the last one if its result is fresh, or a new one."""
        with self._lock:
            is_fresh = time.monotonic() - self._looked_at < _KEEP_SECONDS
            if self._look is None or (self._look.done() and not is_fresh):
                self._look = self._thread.submit(self._read)
                self._looked_at = time.monotonic()
            return self._look

    def _read(self) -> Snapshot | None:
        try:
            with self._database.begin() as session:
                occupations = workers.occupations(session, silent_seconds=self._silent_seconds)
                counts = {(state, device): 0 for state in WorkerState for device in DeviceClass}
                for found in occupations:
                    counts[state_of(found), DeviceClass(found.worker.device)] += 1
                return Snapshot(
                    repository.jobs_by_state(session),
                    repository.unfinished_sweeps(session),
                    waiting(session),
                    repository.outbox(session),
                    repository.webhooks(session),
                    repository.leases(session),
                    {(str(state), str(device)): count for (state, device), count in counts.items()},
                )
        except Exception as error:  # any failure means that there are no figures
            log.warning("metrics_unavailable", error=type(error).__name__)
            return None


def _metrics(seen: Snapshot) -> Iterable[Metric]:
    jobs, queue = seen.jobs.items(), seen.queue.backlogs.items()
    yield _gauge("dsnot_jobs", "Jobs by state.", {(state,): n.total for state, n in jobs}, "state")
    ended = {(state,): n.recent for state, n in jobs}
    yield _gauge("dsnot_jobs_ended_last_hour", "Jobs that ended within the last hour, by state.", ended, "state")
    yield _gauge(
        "dsnot_sweeps_unfinished", "Unfinished sweeps by state.", {(state,): n for state, n in seen.sweeps.items()}, "state"
    )
    yield _gauge(
        "dsnot_queue_jobs",
        "Jobs that a worker could claim now, by requested device class.",
        {(d,): n.count for d, n in queue},
        "device",
    )
    yield _gauge(
        "dsnot_queue_jobs_by_memory",
        "Jobs that a worker could claim now, by requested device class and the least memory in GiB that they need.",
        seen.queue.by_memory,
        "device",
        "memory",
    )
    ages = {(device,): n.oldest_seconds for device, n in queue}
    yield _gauge(
        "dsnot_queue_oldest_seconds", "Age of the oldest claimable job in seconds, by requested device class.", ages, "device"
    )
    yield _gauge("dsnot_outbox_messages", "Outbox messages that are due and not sent.", {(): seen.outbox.count})
    yield _gauge(
        "dsnot_outbox_oldest_seconds", "Age of the oldest due outbox message in seconds.", {(): seen.outbox.oldest_seconds}
    )
    overdue = {(): seen.webhooks.oldest_seconds}
    yield _gauge("dsnot_webhook_messages", "Webhook messages that are due and not sent.", {(): seen.webhooks.count})
    yield _gauge("dsnot_webhook_oldest_seconds", "Age of the oldest due webhook message in seconds.", overdue)
    yield _gauge("dsnot_attempts_open", "Open attempts.", {(): seen.leases.open})
    yield _gauge("dsnot_leases_past_due", "Open attempts whose lease has expired.", {(): seen.leases.past_due})
    yield _gauge("dsnot_workers", "Workers by state and device class; stopped ones for a day.", seen.workers, "state", "device")


def _gauge(name: str, text: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric
