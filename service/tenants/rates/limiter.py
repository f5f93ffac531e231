"""How many requests a key may make in a minute: counted in Valkey for all service processes together.

While Valkey does not answer, each process counts for itself: callers are neither let through unbounded nor sent away.
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
"""Of Valkey: the request of a caller waits for it."""
_AWAY_SECONDS: Final = 5.0
"""For how long it is not asked again after it has not answered."""


class Kind(StrEnum):
    """What is counted apart, so that whoever watches jobs can still make one."""

    READS = "reads"
    WRITES = "writes"


class RateLimited(Later):
    status, type, title, retry_after = 429, "rate-limited", "Too many requests", 1


@dataclass(frozen=True)
class Standing:
    """Of one key, after a request."""

    kind: Kind
    limit: int
    remaining: int
    reset_seconds: int
    """Until more may be sent."""

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Policy": f'"{self.kind}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.kind}";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimiter:
    """Counts requests in a window that slides (weighted counts of this minute and of the one before)."""

    def __init__(self, broker_url: str) -> None:
        in_time: dict[str, Any] = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS}
        once: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
        self._shared = _Counter(RedisStorage(broker_url, key_prefix="dsnot-rates", **in_time, **once))
        self._own = _Counter(MemoryStorage())
        self._ask_again_at = 0.0
        self._lock = threading.Lock()

    def count(self, kind: Kind, holder: str, *, limit: int) -> tuple[Standing, bool]:
        """Count a request of `holder`: where it stands, and whether the request is within the limit (per minute)."""
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
            log.warning("rates_counted_alone", error=type(error).__name__, seconds=_AWAY_SECONDS)


class _Counter:
    """A strategy of the library, with one answer for what takes it two calls."""

    def __init__(self, storage: MemoryStorage | RedisStorage) -> None:
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    def count(self, item: RateLimitItem, kind: Kind, holder: str) -> tuple[Standing, bool]:
        is_within = self._strategy.hit(item, kind, holder)
        stats = self._strategy.get_window_stats(item, kind, holder)
        seconds = max(1, ceil(stats.reset_time - time.time()))
        return Standing(kind, item.amount, stats.remaining, seconds), is_within
