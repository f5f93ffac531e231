"""Whether to try again, and when."""

import time
from typing import Final

import httpx

from service.client.call import Repeat
from service.client.errors import ApiError, IdempotencyInFlight, StoreRefused, Unreachable

Trouble = ApiError | StoreRefused | Unreachable
_LONGEST_PAUSE: Final = 10.0


class Patience:
    """So many seconds for one piece of work, from its first trouble's point of view: from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Something worked: the next trouble gets the whole time again."""
        self._deadline = time.monotonic() + self._seconds
        self._pause = 0.1

    def pause_after(self, trouble: Trouble, repeat: Repeat = Repeat.ALWAYS) -> float:
        """Seconds to wait before the next try. Raises the trouble if time is up, or if waiting cannot help."""
        if not _may_pass(trouble, repeat):
            raise trouble
        told = trouble.retry_after if isinstance(trouble, ApiError) else None
        pause = min(self._pause, _LONGEST_PAUSE) if told is None else told
        if time.monotonic() + pause > self._deadline:
            raise trouble
        self._pause *= 2
        return pause


def _may_pass(trouble: Trouble, repeat: Repeat) -> bool:
    """Whether the same request may fare better later, and does no harm if the first one has arrived after all."""
    if isinstance(trouble, ApiError) and trouble.status == httpx.codes.TOO_MANY_REQUESTS:
        return True  # it was turned away at the door
    if repeat is Repeat.UNDONE:
        return False
    if isinstance(trouble, ApiError):
        return trouble.status == httpx.codes.SERVICE_UNAVAILABLE or isinstance(trouble, IdempotencyInFlight)
    return True
