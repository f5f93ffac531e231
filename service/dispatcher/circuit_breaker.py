"""Circuit breakers of foreign servers: after several slow failures in a row, one gets nothing for a growing pause."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

_FAILURES: Final = 3
"""Slow failures in a row that open the breaker."""
_FIRST_PAUSE_SECONDS: Final = 30.0
_MAX_PAUSE_SECONDS: Final = 900.0
_FORGET_SECONDS: Final = 3600.0


@dataclass
class _Breaker:
    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0
    """Time until which the endpoint gets nothing."""


class CircuitBreakers:
    """Breakers of all endpoints of one process; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._breakers: dict[str, _Breaker] = {}

    def pause(self, endpoint: str) -> float:
        """Return the seconds for which the endpoint gets nothing; 0 if it may get a message."""
        with self._lock:
            breaker = self._breakers.get(endpoint)
            return max(0.0, breaker.open_until - self._clock()) if breaker else 0.0

    def record(self, endpoint: str, *, failed_slowly: bool) -> None:
        """Record the outcome of an attempt: a slow failure counts, anything else closes the breaker."""
        with self._lock:
            now = self._clock()
            if not failed_slowly:
                self._breakers.pop(endpoint, None)
                return
            self._breakers = {name: each for name, each in self._breakers.items() if now - each.open_until < _FORGET_SECONDS}
            breaker = self._breakers.setdefault(endpoint, _Breaker(open_until=now))
            breaker.failures += 1
            if breaker.failures >= _FAILURES and now >= breaker.open_until:  # an attempt that began before the pause adds none
                breaker.pause_seconds = min(max(2 * breaker.pause_seconds, _FIRST_PAUSE_SECONDS), _MAX_PAUSE_SECONDS)
                breaker.open_until = now + breaker.pause_seconds


def endpoint_of(url: str) -> str:
    """Return host and port of a URL, which share a breaker and a share of the threads."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or parts.scheme}"
