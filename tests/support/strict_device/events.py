"""CUDA events on a clock on which every kernel launch takes one millisecond."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counts:
    """Kernel launches and host synchronisations, by operator."""

    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    reached: int = 0
    """Launches that the device has finished for certain: those before the host last waited."""


@dataclass(frozen=True)
class Stream:
    """The one stream of a device."""

    device_index: int


class Event:
    """Event that notes the number of kernels launched before it."""

    def __init__(self, clock: "Counts", current: int) -> None:
        self._clock, self._current = clock, current
        self.device_index: int | None = None
        self._at = 0

    def record(self, stream: Stream | None = None) -> None:
        """Record the event on a stream, by default on the current device's."""
        self.device_index = self._current if stream is None else stream.device_index
        self._at = self._clock.launches.total()

    def query(self) -> bool:
        """Return whether the device has reached the event."""
        return self._at <= self._clock.reached

    def synchronize(self) -> None:
        """Wait for the event."""
        self._clock.waits["event"] += 1
        self._clock.reached = max(self._clock.reached, self._at)

    def elapsed_time(self, end: Any) -> float:
        """Return the milliseconds between this event and a later one of the same device."""
        assert self.device_index == end.device_index is not None
        if not end.query():
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return float(end._at - self._at)
