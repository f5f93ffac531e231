"""Shares of tenants in the pools of a service process: uploads, event streams, look-ups of models, requests to the hub.

Dynamic thresholds (Choudhury and Hahne, 1998): a tenant may hold as many slots of a pool as are free. A tenant alone gets half of
them, n tenants 1/(n+1) each, and another tenant always finds a free slot.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from service.errors import Later, Unavailable


class ShareExceeded(Later):
    """Share of the tenant in a pool that is in use."""

    status, type, title, retry_after = 429, "share-exceeded", "Too many requests at once", 5


class PoolFull(Unavailable):
    """Pool without a free slot."""

    retry_after = 5


class Pool:
    """Pool of slots. Thread-safe.

    Args:
        subject: what the slots are for, in the plural.
    """

    def __init__(self, subject: str, slots: int) -> None:
        self._subject, self._free = subject, slots
        self._held: Counter[str] = Counter()
        self._changed = Condition()

    def acquire(self, tenant: str, *, seconds: float = 0.0) -> None:
        """Take a slot; wait for one for `seconds`.

        Raises:
            ShareExceeded: the tenant holds as many slots as are free.
            PoolFull: no slot is free.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._held[tenant] < self._free, seconds):
                if not self._free:
                    raise PoolFull(f"too many {self._subject} are in progress; try again shortly")
                raise ShareExceeded(
                    f"{self._held[tenant]} {self._subject} of your tenant are in progress; wait until one has ended"
                )
            self._free -= 1
            self._held[tenant] += 1

    def release(self, tenant: str) -> None:
        """Give a slot back."""
        with self._changed:
            self._free += 1
            self._held[tenant] -= 1
            self._held += Counter()  # drops tenants without a slot
            self._changed.notify_all()

    @contextmanager
    def hold(self, tenant: str) -> Iterator[None]:
        """Hold a slot in the context. Raises as `acquire`."""
        self.acquire(tenant)
        try:
            yield
        finally:
            self.release(tenant)
