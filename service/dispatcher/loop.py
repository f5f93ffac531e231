"""Main loop of the dispatcher: send the outbox, apply timeouts. Any number of dispatchers may run concurrently."""

import threading
import time

from service.broker.queue import Queue, QueueUnavailable
from service.database.engine import TRANSIENT, Database
from service.database.reasons import reason_of
from service.dispatcher.expiry import apply_queue_deadlines, apply_run_deadlines, expire_leases
from service.dispatcher.garbage_collection import GarbageCollector
from service.dispatcher.listener import EventListener
from service.dispatcher.mlflow_logging import MlflowLogger
from service.dispatcher.outbox_sender import Sender, resend_unclaimed
from service.dispatcher.sweeps import advance_sweeps, finish_cancellations
from service.dispatcher.webhook_delivery import WebhookSender
from service.logging import get_logger
from service.ops import liveness
from service.settings import Settings

log = get_logger(__name__)


class Dispatcher:
    """Dispatcher that runs until stopped and waits out outages of database and broker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_address, pool_size=4)
        self._queue = Queue(settings.broker_url.get_secret_value(), settings.broker_prefix or "")
        self._sender = Sender(self._database, self._queue)
        self._wakeup = EventListener(settings.direct_address)
        self._sweeper = GarbageCollector(settings)
        self._deliverer = WebhookSender(settings)
        self._mlflow = MlflowLogger(settings)
        self._next_look = 0.0
        self._looked_at = self._patient_until = _seconds()
        self._database_is_unreachable = False

    def run(self, stop: threading.Event) -> None:
        """Run garbage collection, webhook delivery and logging to MLflow in threads, and the loop here, until `stop` is set."""
        threads = {"sweeper": self._sweeper.run, "deliverer": self._deliverer.run, "mlflow": self._mlflow.run}
        for name, target in threads.items():
            threading.Thread(target=target, args=(stop,), name=name, daemon=True).start()
        log.info("dispatcher_started")
        self._wakeup.wait(0, stop)  # start listening before the first round, so that no event is missed
        while not stop.is_set():
            self._round()
            liveness.touch(self._settings.alive_file)
            self._wakeup.wait(self._settings.dispatch_seconds, stop)
        self.close()
        log.info("dispatcher_stopped")

    def _round(self) -> None:
        """Send the outbox at every wake-up; apply timeouts at most once per `dispatch_seconds`."""
        try:
            self._sender.send_due()
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + self._settings.dispatch_seconds
                self.apply_rules()
        except TRANSIENT as error:
            if not self._database_is_unreachable:
                log.warning("database_unavailable", reason=reason_of(error))
            self._database_is_unreachable = True
        except Exception:
            log.exception("dispatcher_round_failed")
        else:
            if self._database_is_unreachable:
                log.info("database_available")
            self._database_is_unreachable = False

    def apply_rules(self) -> None:
        """Apply every timeout once, and send what results."""
        apply_queue_deadlines(self._database)
        apply_run_deadlines(self._database)
        if not self._stood_still():
            expire_leases(self._database)
        finish_cancellations(self._database)
        advance_sweeps(self._database, self._settings)
        self._resend()
        self._sender.send_due()

    def _stood_still(self) -> bool:
        """Return whether this process slept for a lease, perhaps with the whole machine: workers get a lease to renew theirs."""
        now = _seconds()
        if now - self._looked_at > self._settings.lease_seconds:
            self._patient_until = now + self._settings.lease_seconds
        self._looked_at = now
        return now < self._patient_until

    def _resend(self) -> None:
        if self._sender.broker_is_unreachable:
            return
        try:
            resend_unclaimed(self._database, self._queue, self._settings.resend_seconds)
        except QueueUnavailable as error:
            log.debug("backlog_unknown", error=str(error))  # the next message that is sent logs the outage

    def close(self) -> None:
        """Close the connections to database and broker."""
        self._wakeup.close()
        self._queue.close()
        self._database.close()


def _seconds() -> float:
    """Return the time of a clock that runs on while the machine sleeps, and is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
