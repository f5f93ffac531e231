"""Sending of the outbox to the broker, and resending of messages that appear lost."""

import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from service import tracing
from service.broker.queue import Queue, QueueUnavailable
from service.contract.devices import QUEUES
from service.contract.messages import PRUNE_TASK
from service.database.engine import Database
from service.database.tables.outbox import OutboxMessage
from service.dispatcher import repository
from service.dispatcher.metrics import BROKER_UP, MESSAGES_REPEATED, MESSAGES_SENT
from service.jobs.attempts import standings
from service.jobs.outbox import repository as outbox
from service.logging import get_logger

log = get_logger(__name__)

_BATCH: Final = 100
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0


class Sender:
    """Sender of the outbox, with a backoff of 0.1 s to 2 s while the broker is unreachable."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database = database
        self._queue = queue
        self._wait = 0.0
        self._not_before = 0.0

    @property
    def broker_is_unreachable(self) -> bool:
        """Whether the last message was refused, so that sending backs off."""
        return self._wait > 0

    def send_due(self) -> int:
        """Send all due messages; return the number that the broker accepted.

        A message is deleted in the transaction that locked it, after sending: a crash in between sends it twice, which is
        harmless, but never drops it.
        """
        total = 0
        while time.monotonic() >= self._not_before:
            sent, is_last = self._send_batch()
            total += sent
            if is_last:
                break
        return total

    def _send_batch(self) -> tuple[int, bool]:
        with self._database.begin() as session:
            messages = outbox.lock_due(session, _BATCH)
            sent = self._send(messages)
            outbox.remove(session, [message.id for message in sent])
            repository.mark_sent(session, [UUID(m.payload["job_id"]) for m in sent if m.task == PRUNE_TASK])
        return len(sent), len(messages) < _BATCH

    def _send(self, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        """Send messages until the broker refuses one; return those sent."""
        sent: list[OutboxMessage] = []
        for message in messages:
            try:
                self._send_one(message)
            except QueueUnavailable as error:
                self._broker_failed(error)
                break
            MESSAGES_SENT.inc()
            sent.append(message)
        if sent and len(sent) == len(messages):
            self._broker_answered()
        return sent

    def _send_one(self, message: OutboxMessage) -> None:
        about = {"messaging.destination.name": message.queue, **message.payload}
        with tracing.producing(f"send {message.task}", message.traceparent, about):
            self._queue.send(message.task, message.payload, message.queue, tracing.headers())

    def _broker_failed(self, error: QueueUnavailable) -> None:
        if not self.broker_is_unreachable:
            log.warning("broker_unavailable", reason=str(error))
        BROKER_UP.set(0)
        self._wait = min(max(2 * self._wait, _FIRST_WAIT), _LONGEST_WAIT)
        self._not_before = time.monotonic() + self._wait

    def _broker_answered(self) -> None:
        if self.broker_is_unreachable:
            log.info("broker_available")
        BROKER_UP.set(1)
        self._wait = self._not_before = 0.0


def resend_unclaimed(database: Database, queue: Queue, resend_seconds: float) -> int:
    """Enqueue messages again for jobs that should have been claimed by now; return their number."""
    with database.begin() as session:
        claimable = standings.claimable(session)
    count = sum(_resend_unclaimed(database, queue, device, jobs, resend_seconds) for device, jobs in claimable.items() if jobs)
    if count:
        MESSAGES_REPEATED.inc(count)
        log.info("messages_resent", count=count)
    return count


def _resend_unclaimed(database: Database, queue: Queue, device: str, jobs: int, resend_seconds: float) -> int:
    """Resend for one value of `device`, of which `jobs` are claimable.

    The number is limited to claimable jobs minus messages in outbox and broker: while all workers are busy, every job still has
    its message in the broker, and more would accumulate. Which job a message names does not matter.
    """
    with database.begin() as session:
        missing = jobs - queue.backlog(QUEUES[device]) - outbox.count(session, QUEUES[device])
        if missing <= 0:
            return 0
        ids = repository.mark_unclaimed_for_resend(session, device, resend_seconds=resend_seconds, limit=missing)
        for job_id in ids:
            outbox.add_job(session, job_id, device)
    return len(ids)
