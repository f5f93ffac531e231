"""Retry policy: exponential backoff within a time budget."""

import time
from enum import Enum, auto
from typing import Final

import httpx

from service.client.errors import ApiError, IdempotencyInFlight, StoreRefused, Unreachable

Trouble = ApiError | StoreRefused | Unreachable
_LONGEST_PAUSE: Final = 10.0
_UNAVAILABLE: Final = {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT}
"""Statuses of the service, and of a proxy that gets no answer from it."""


class Repeat(Enum):
    """Condition under which a request may be repeated after its response was lost or was an error."""

    ALWAYS = auto()
    """Always: the request is idempotent, by its nature or by an idempotency key."""
    UNDONE = auto()
    """Only if the service has answered that it did not start."""


class RetryBudget:
    """Retry budget of one operation, in seconds from its creation or last restart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Reset budget and backoff after progress."""
        self._deadline = time.monotonic() + self._seconds
        self._pause = 0.1

    def pause_after(self, trouble: Trouble, repeat: Repeat = Repeat.ALWAYS) -> float:
        """Return the seconds to wait before the next retry. Raises the error if time is up, or if a retry cannot help."""
        if not _may_pass(trouble, repeat):
            raise trouble
        requested = trouble.retry_after if isinstance(trouble, ApiError) else None
        pause = min(self._pause, _LONGEST_PAUSE) if requested is None else requested
        if time.monotonic() + pause > self._deadline:
            raise trouble
        self._pause *= 2
        return pause


def _may_pass(trouble: Trouble, repeat: Repeat) -> bool:
    """Return whether a retry may succeed, and is harmless if the first request was received after all."""
    if isinstance(trouble, ApiError) and trouble.status == httpx.codes.TOO_MANY_REQUESTS:
        return True  # it was rejected before processing
    if repeat is Repeat.UNDONE:
        return False
    if isinstance(trouble, ApiError):
        return trouble.status in _UNAVAILABLE or isinstance(trouble, IdempotencyInFlight)
    return True
