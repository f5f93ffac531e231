"""Notices of the overview: workers without disk or GPU, webhooks that fail, keys that expire."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from service.dashboard.formats import duration, size
from service.database.tables.keys import ApiKey
from service.webhooks.repository import Standing
from service.workers.schemas import WorkerState, WorkerView

EXPIRES_SOON_SECONDS: Final = 7 * 86_400.0
_LITTLE_DISK_BYTES: Final = 5_000_000_000
"""Less than the scratch files of a job on a model with one billion parameters."""


@dataclass(frozen=True)
class Notice:
    """Sentence about a fault or a coming one, and the page where it can be dealt with."""

    text: str
    href: str


def notices(
    workers: Iterable[WorkerView], webhooks: Mapping[UUID, Standing], keys: Sequence[ApiKey], now: datetime
) -> list[Notice]:
    """Return the notices, those about workers first."""
    return [*_of_workers(workers, now), *_of_webhooks(webhooks), *_of_keys(keys, now)]


def _of_workers(workers: Iterable[WorkerView], now: datetime) -> Iterator[Notice]:
    for worker in workers:
        if worker.state == WorkerState.SILENT:
            since = duration((now - worker.seen_at).total_seconds())
            yield Notice(f"Worker {worker.id} has sent no heartbeat for {since}.", "/workers")
            continue
        if worker.state == WorkerState.STOPPED:
            continue
        if worker.free_disk_bytes < _LITTLE_DISK_BYTES:
            yield Notice(f"Worker {worker.id} has {size(worker.free_disk_bytes)} of free disk.", "/workers")
        if worker.device_problem:
            yield Notice(f"Worker {worker.id} does not use its GPU: {worker.device_problem}.", "/workers")


def _of_webhooks(webhooks: Mapping[UUID, Standing]) -> Iterator[Notice]:
    for webhook_id, standing in webhooks.items():
        if standing.is_failing:
            yield Notice(f"A webhook does not accept messages: {standing.answer}.", f"/webhooks/{webhook_id}")


def _of_keys(keys: Sequence[ApiKey], now: datetime) -> Iterator[Notice]:
    for key in keys:
        assert key.expires_at is not None
        yield Notice(f"The key {key.name} expires in {duration((key.expires_at - now).total_seconds())}.", "/keys")
