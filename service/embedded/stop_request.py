"""Requests to stop by Ctrl-C, SIGTERM or a closed terminal."""

import signal
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Context in which signals only make `asked` true, so that everything can stop gracefully.

    A second Ctrl-C raises KeyboardInterrupt: the children then end because their parent does.
    """

    def __init__(self) -> None:
        self._received: set[int] = set()

    def asked(self) -> bool:
        """Return whether a stop was requested."""
        return bool(self._received)

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._heard) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in self._received:
            raise KeyboardInterrupt
        self._received.add(number)
