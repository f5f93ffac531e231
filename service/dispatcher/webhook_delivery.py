"""Webhook delivery, at least once, with retries for about a day.

Receivers may be slow or unreachable, so delivery has its own threads, of which one tenant and one endpoint get a share. Several
dispatchers may deliver concurrently. A crash between sending and recording causes a second delivery under the same id.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.contract.webhooks import DeliveryState, WebhookFormat
from service.database.engine import TRANSIENT, Database, Session
from service.database.tables.webhooks import Delivery, Webhook
from service.dispatcher.circuit_breaker import CircuitBreakers, endpoint_of
from service.dispatcher.listener import EventListener
from service.dispatcher.metrics import WEBHOOK_ATTEMPTS
from service.dispatcher.retry_schedule import wait_after
from service.hooks.repository import valid_secret_numbers
from service.hooks.signing import secret_of, signatures
from service.logging import get_logger
from service.settings import Settings
from service.webhooks import repository
from service.webhooks.bodies import CONTENT_TYPES, body_for
from service.webhooks.posting import GONE, Outcome, post
from service.webhooks.repository import Candidate, Due

log = get_logger(__name__)

_AT_ONCE: Final = 16
_SHARE: Final = 4
"""Maximum number of threads of one tenant, and of one endpoint."""
_HOLD_SECONDS: Final = 5.0
"""Period in which a thread begins further messages to its webhook; then others have their turn."""
_CONNECTIONS: Final = 9
_CANDIDATES: Final = 1000
_SLOW: Final = 0.5
"""Part of the timeout from which on a failure counts as slow."""
_LEASE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class _Message:
    url: str
    content_type: str
    body: bytes
    secrets: list[str]


@dataclass(frozen=True)
class _Sending:
    thread: threading.Thread
    tenant: str
    endpoint: str


class WebhookSender:
    """Sender of due webhook messages; at most one message at a time per webhook."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_address, pool_size=_CONNECTIONS)
        self._wakeup = EventListener(settings.direct_address)
        self._busy: dict[UUID, _Sending] = {}
        """Thread that is sending to each webhook."""
        self._breakers = CircuitBreakers()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set, waiting out database outages. Messages in flight at the stop are sent again later."""
        if self._settings.secret_key is None:
            log.info("webhooks_not_delivered", because="DSNOT_SECRET_KEY is not set")
            return
        while not stop.is_set():
            try:
                self._begin_due(stop)
            except TRANSIENT as error:
                log.debug("deliveries_postponed", error=type(error).__name__)
            except Exception:
                log.exception("deliveries_failed")
            self._wakeup.wait(self._settings.dispatch_seconds, stop)
        self._wakeup.close()

    def _begin_due(self, stop: threading.Event) -> None:
        self._busy = {webhook: each for webhook, each in self._busy.items() if each.thread.is_alive()}
        if len(self._busy) == _AT_ONCE:
            return
        with self._database.begin() as session:
            candidates = repository.candidates(session, busy=list(self._busy), limit=_CANDIDATES)
            for each in candidates:
                if pause := self._breakers.pause(endpoint_of(each.url)):
                    repository.postpone_all(session, each.webhook_id, seconds=pause)
            chosen = {each.id: each for each in self._choose(candidates)}
            due = repository.take(session, list(chosen), lease_seconds=_LEASE_SECONDS)
        for taken in due:
            thread = threading.Thread(target=self._work_off, args=(taken, stop), name="webhook", daemon=True)
            candidate = chosen[taken.id]
            self._busy[taken.webhook_id] = _Sending(thread, candidate.tenant, endpoint_of(candidate.url))
            thread.start()

    def _choose(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return candidates for the free threads; no tenant and no endpoint exceeds its share, none that pauses is among them."""
        tenants = Counter(each.tenant for each in self._busy.values())
        endpoints = Counter(each.endpoint for each in self._busy.values())
        chosen: list[Candidate] = []
        for each in candidates:
            endpoint = endpoint_of(each.url)
            if len(self._busy) + len(chosen) == _AT_ONCE:
                break
            if tenants[each.tenant] < _SHARE and endpoints[endpoint] < _SHARE and not self._breakers.pause(endpoint):
                tenants[each.tenant] += 1
                endpoints[endpoint] += 1
                chosen.append(each)
        return chosen

    def _work_off(self, first: Due, stop: threading.Event) -> None:
        """Send this message and further due ones of the same webhook, until one fails or others have their turn."""
        due: Due | None = first
        until = time.monotonic() + _HOLD_SECONDS
        try:
            while due is not None and self.deliver(due) and time.monotonic() < until and not stop.is_set():
                with self._database.begin() as session:
                    due = repository.take_next(session, due.webhook_id, lease_seconds=_LEASE_SECONDS)
        except TRANSIENT as error:
            log.debug("delivery_postponed", error=type(error).__name__)
        except Exception:
            log.exception("delivery_failed")

    def deliver(self, due: Due) -> bool:
        """Attempt to deliver one message and record the outcome; return whether the receiver accepted it."""
        with self._database.begin() as session:
            message = self._message(session, due)
        if message is None:
            return False
        timestamp = int(time.time())
        headers = {
            "Content-Type": message.content_type,
            "User-Agent": "dsnot-webhooks/1",
            "webhook-id": str(due.id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(message.secrets, due.id, timestamp, message.body),
        }
        may_be_local, seconds = self._settings.webhooks_may_be_local, self._settings.webhook_seconds
        outcome = post(message.url, message.body, headers, seconds=seconds, may_be_local=may_be_local)
        failed_slowly = outcome.error is not None and outcome.seconds >= _SLOW * seconds
        self._breakers.record(endpoint_of(message.url), failed_slowly=failed_slowly)
        with self._database.begin() as session:
            self._write_down(session, due, outcome)
        return outcome.error is None

    def _message(self, session: Session, due: Due) -> _Message | None:
        """Return URL, body and secrets of a delivery; None if it must not be sent any more."""
        webhook, delivery = session.get(Webhook, due.webhook_id), session.get(Delivery, due.id)
        if webhook is None or delivery is None or self._settings.secret_key is None:
            return None
        if webhook.disabled_at is not None:
            repository.finish(session, due.id, DeliveryState.FAILED)
            return None
        if delivery.body is None:
            delivery.body = body_for(session, webhook, delivery, public_url=self._settings.public_url)
        master, numbers = self._settings.secret_key.get_secret_value(), valid_secret_numbers(session, webhook)
        secrets = [secret_of(master, webhook.noun, webhook.id, number) for number in numbers]
        return _Message(webhook.url, CONTENT_TYPES[WebhookFormat(webhook.format)], delivery.body.encode(), secrets)

    def _write_down(self, session: Session, due: Due, outcome: Outcome) -> None:
        decides = repository.note(session, due, seconds=outcome.seconds, status=outcome.status, error=outcome.error)
        if not decides:
            return
        what = "delivered"
        if outcome.error is None:
            repository.finish(session, due.id, DeliveryState.DELIVERED)
        elif outcome.status == GONE:
            what = "gone"
            repository.finish(session, due.id, DeliveryState.FAILED)
            repository.disable(session, due.webhook_id, "the receiver answered 410 Gone")
        elif (wait := self._wait(due, outcome)) is None:
            what = "given_up"
            repository.finish(session, due.id, DeliveryState.FAILED)
        else:
            what = "postponed"
            repository.try_again(session, due.id, seconds=wait)
        WEBHOOK_ATTEMPTS.labels(what).inc()
        log.info("webhook_attempted", delivery=str(due.id), attempt=due.attempt, outcome=what, status=outcome.status)

    def _wait(self, due: Due, outcome: Outcome) -> float | None:
        """Return the seconds to the next attempt, at least as many as the receiver requests; None after the last."""
        planned = wait_after(due.tried, self._settings.webhook_retry_seconds)
        return None if planned is None else max(planned, outcome.wait_seconds or 0.0)
