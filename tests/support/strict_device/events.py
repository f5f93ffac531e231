"""CUDA events on the clocks of a strict device."""

from dataclasses import dataclass
from typing import Any

from tests.support.strict_device.counts import Counts


@dataclass(frozen=True)
class Stream:
    """The one stream of a device."""

    device_index: int


class Event:
    """Event that notes the moment at which the device has finished what was queued before it."""

    def __init__(self, counts: Counts, current: int) -> None:
        self._counts, self._current = counts, current
        self.device_index: int | None = None
        self._at = 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Record the event on a stream, by default on the current device's."""
        self.device_index = self._current if stream is None else stream.device_index
        self._at = self._counts.seconds

    def query(self) -> bool:
        """Return whether the device has reached the event."""
        return self._at <= self._counts.host

    def synchronize(self) -> None:
        """Wait for the event."""
        self._counts.wait_until("event", self._at)

    def elapsed_time(self, end: Any) -> float:
        """Return the milliseconds between this event and a later one of the same device."""
        assert self.device_index == end.device_index is not None
        if not end.query():
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return float(end._at - self._at) * 1000
