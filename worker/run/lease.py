"""Lease of one claim: a thread renews it by heartbeat, even while torch is busy, and receives cancel and pause directives.

The run calls `check()` wherever it can stop. If it does not for a while (a long download, a huge matrix), the thread ends the
attempt in its place and then the process, because Python cannot stop a thread from outside.
"""

import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import ClassVar, Final

from service.contract.states import AttemptOutcome, WorkerDirective
from service.database.engine import TRANSIENT, Database
from service.database.reasons import reason_of
from service.jobs.attempts import repository
from service.jobs.attempts.repository import Claim
from service.logging import get_logger
from service.settings import Settings

log = get_logger(__name__)

_LOOK_SECONDS: Final = 0.25
REACTION_SECONDS: Final = 3.0
"""Maximum time until the run calls `check()` once it has to stop."""


class Interruption(Exception):
    """Reason for the run to stop other than a failure of its own."""

    outcome: ClassVar[AttemptOutcome]


class JobCancelled(Interruption):
    """Cancellation by the user."""

    outcome = AttemptOutcome.CANCELLED


class JobPaused(Interruption):
    """Pause by the user."""

    outcome = AttemptOutcome.PAUSED


class StopRequested(Interruption):
    """Shutdown of this worker; another worker continues the job."""

    outcome = AttemptOutcome.RELEASED


class ClaimLost(Interruption):
    """Loss of the claim: another attempt holds the job, or may, because the database was unreachable for a whole lease."""

    outcome = AttemptOutcome.LEASE_EXPIRED


class Lease:
    """Lease that a thread renews from `__enter__` to `__exit__`.

    Args:
        stop: set when the process has to stop.
        end_stuck: called by the thread, once, with the reason to stop, if the run does not react; then the process exits.
    """

    def __init__(
        self,
        database: Database,
        claim: Claim,
        settings: Settings,
        stop: threading.Event,
        end_stuck: Callable[[Interruption], None],
    ) -> None:
        self._database = database
        self._claim = claim
        self._settings = settings
        self._stop = stop
        self._end_stuck = end_stuck
        self._renewed_at = time.monotonic()
        self._reason: Interruption | None = None
        self._reason_since = 0.0
        self._reacted = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._keep,), name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reacted.set()
        self._thread.join(timeout=self._settings.heartbeat_seconds)

    @property
    def reason(self) -> Interruption | None:
        """Reason for the run to stop; None until there is one."""
        return self._reason

    @property
    def is_over(self) -> bool:
        """Whether the lease may have expired, by this host's clock, counted from before the last successful renewal was sent."""
        return time.monotonic() - self._renewed_at > self._settings.lease_seconds

    def check(self) -> None:
        """Raise the pending Interruption, if there is one."""
        if self._reacted.is_set():
            return
        self._look()
        if self._reason is not None:
            self._reacted.set()
            raise self._reason

    def end(self) -> None:
        """Stop renewing: the attempt has ended in the database, and its clean-up needs no lease."""
        self._reacted.set()

    def _keep(self) -> None:
        next_beat = time.monotonic() + self._settings.heartbeat_seconds
        while not self._reacted.wait(min(_LOOK_SECONDS, self._settings.heartbeat_seconds)):
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + self._settings.heartbeat_seconds
                self._beat()
            self._look()
            if self._reason is not None and time.monotonic() - self._reason_since > REACTION_SECONDS:
                self._end_process(self._reason)

    def _beat(self) -> None:
        sent_at = time.monotonic()
        try:
            with self._database.begin() as session:
                wish = repository.heartbeat(session, self._claim.job_id, self._claim.fence, self._settings.lease_seconds)
        except TRANSIENT as error:
            log.warning("heartbeat_failed", reason=reason_of(error))
            return
        self._renewed_at = sent_at
        if wish == WorkerDirective.CANCEL:
            self._interrupt(JobCancelled("the user cancelled the job"))
        elif wish == WorkerDirective.PAUSE:
            self._interrupt(JobPaused("the user paused the job"))
        elif wish == WorkerDirective.ABANDON:
            self._interrupt(ClaimLost("another attempt holds the job, or it has ended"))

    def _look(self) -> None:
        if self._stop.is_set():
            self._interrupt(StopRequested("the worker is shutting down"))
        elif self.is_over:
            self._interrupt(ClaimLost("the database was unreachable until the lease expired"))

    def _interrupt(self, reason: Interruption) -> None:
        if self._reason is None:
            self._reason_since = time.monotonic()
            self._reason = reason

    def _end_process(self, reason: Interruption) -> None:
        log.warning("run_unresponsive", reason=str(reason))
        self._reacted.set()
        try:
            self._end_stuck(reason)
        finally:
            os._exit(0)
