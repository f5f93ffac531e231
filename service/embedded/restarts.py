"""Restarts of crashed processes, with exponential back-off."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.embedded.processes import Child

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
_STABLE_SECONDS: Final = 300.0
"""Life after which a crash is counted as the first one again."""


@dataclass
class _Crashes:
    """Crashes of one process in a row."""

    count: int
    pid: int
    due: float
    """Time of the restart."""


class Restarts:
    """Restart times of ended processes: 1 s after the first crash in a row, then twice as long each time, up to a minute."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._crashes: dict[str, _Crashes] = {}

    def is_due(self, child: Child) -> bool:
        """Return whether this ended process is to be started again now; announce each restart once, with its reason."""
        now, last = self._clock(), self._crashes.get(child.name)
        if last is None or last.pid != child.process.pid:
            in_a_row = last.count + 1 if last and now - last.due < _STABLE_SECONDS else 1
            pause = min(_FIRST_SECONDS * 2 ** (in_a_row - 1), _LONGEST_SECONDS)
            last = self._crashes[child.name] = _Crashes(in_a_row, child.process.pid, now + pause)
            again = f", crash {in_a_row} in a row" if in_a_row > 1 else ""
            self._say(
                f"{child.how_it_ended()}{again}; it is started again in {pause:.0f} s, and its log is kept in "
                f"{child.log.with_suffix('.log.1')}"
            )
        return now >= last.due
