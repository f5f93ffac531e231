"""Rate limiting per tenant and minute: requests are counted in Valkey, shared by all service processes.

While Valkey does not answer, each process counts in its own memory, so that callers are neither unlimited nor refused.
"""

import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final

import redis
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.errors import Later
from service.logging import get_logger

log = get_logger(__name__)

WINDOW_SECONDS: Final = 60
_ANSWER_SECONDS: Final = 0.25
"""Timeout of Valkey; short, because the caller's request waits for it."""
_AWAY_SECONDS: Final = 5.0
"""Pause after a failed call to Valkey, during which it is not called."""


class Kind(StrEnum):
    """Kind of request; each has its own count, so that a client polling jobs can still create one."""

    READS = "reads"
    WRITES = "writes"


class RateLimited(Later):
    """Rate limit of the tenant exceeded."""

    status, type, title, retry_after = 429, "rate-limited", "Too many requests", 1


@dataclass(frozen=True)
class Standing:
    """Rate limit state of one tenant after a request."""

    kind: Kind
    limit: int
    remaining: int
    reset_seconds: int
    """Seconds until more requests are allowed."""

    def headers(self) -> dict[str, str]:
        """Return the response headers of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit-Policy": f'"{self.kind}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.kind}";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimiter:
    """Sliding-window rate limiter: the weighted counts of this minute and of the previous one."""

    def __init__(self, broker_url: str, prefix: str = "") -> None:
        in_time: dict[str, Any] = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS}
        once: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
        self._shared = _Counter(RedisStorage(broker_url, key_prefix=f"{prefix}dsnot-rates", **in_time, **once))
        self._own = _Counter(MemoryStorage())
        self._ask_again_at = 0.0
        self._lock = threading.Lock()

    def count(self, kind: Kind, holder: str, *, limit: int) -> tuple[Standing, bool]:
        """Count a request of `holder`; return its rate limit state and whether it is within `limit` (requests per minute)."""
        item = RateLimitItemPerMinute(limit)
        if time.monotonic() >= self._ask_again_at:
            try:
                return self._shared.count(item, kind, holder)
            except (redis.RedisError, OSError) as error:
                self._leave_alone(error)
        return self._own.count(item, kind, holder)

    def _leave_alone(self, error: Exception) -> None:
        with self._lock:
            is_news = time.monotonic() >= self._ask_again_at
            self._ask_again_at = time.monotonic() + _AWAY_SECONDS
        if is_news:
            log.warning("rate_limiter_fallback", error=type(error).__name__, seconds=_AWAY_SECONDS)


class _Counter:
    """Adapter of the library's strategy: counts a request and reads the window in one call."""

    def __init__(self, storage: MemoryStorage | RedisStorage) -> None:
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    def count(self, item: RateLimitItem, kind: Kind, holder: str) -> tuple[Standing, bool]:
        is_within = self._strategy.hit(item, kind, holder)
        stats = self._strategy.get_window_stats(item, kind, holder)
        seconds = max(1, ceil(stats.reset_time - time.time()))
        return Standing(kind, item.amount, stats.remaining, seconds), is_within
