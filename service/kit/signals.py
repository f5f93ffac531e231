"""Signal handlers that can take locks."""

import _thread
from collections.abc import Callable
from types import FrameType


def in_thread(action: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    """Return a signal handler that calls `action` in a new thread.

    Called in the main thread, `action` would wait forever for a lock that the interrupted code holds: that of the
    `threading.Event` to set, or of a logger. `threading.Thread` takes such a lock to start, `_thread` does not.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(action, ())

    return handle
