"""Counts of a strict device: operators, launches, waits, bytes and FLOP by line of code, and the clocks of host and device."""

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, fields

from tests.support.strict_device.costs import Rates

_ELSEWHERE = "elsewhere"


@dataclass
class Cost:
    """Sum of the costs of operators."""

    calls: int = 0
    """Operators that launch kernels, copy or wait."""
    launches: int = 0
    waits: int = 0
    memory_bytes: int = 0
    """Bytes of device memory that kernels read and write."""
    flop: float = 0.0
    device_seconds: float = 0.0
    bus_bytes: int = 0
    """Bytes copied between host and device."""
    bus_seconds: float = 0.0
    host_bytes: int = 0
    """Bytes that operators on the CPU read and write."""

    def add(self, other: "Cost", times: float = 1) -> "Cost":
        """Add another sum `times` times, and return this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + times * getattr(other, field.name))
        return self


class Counts:
    """Costs by place and operator, and two clocks in seconds.

    The host launches kernels and is ahead of the device until it waits; copies are in the order of the kernels, on one stream.
    """

    def __init__(self, rates: Rates, code: tuple[str, ...]) -> None:
        """Count with these rates. A place is the innermost line of a file whose path contains a part of `code`."""
        self.rates = rates
        self.costs: defaultdict[tuple[str, str], Cost] = defaultdict(Cost)
        """By place, as `file:line function`, and operator."""
        self.host = self.device = 0.0
        self._code = code

    @property
    def launches(self) -> Counter[str]:
        """Kernel launches and copies by operator."""
        return self._by_operator("launches")

    @property
    def waits(self) -> Counter[str]:
        """Host synchronisations by operator."""
        return self._by_operator("waits")

    @property
    def total(self) -> Cost:
        """Sum of all costs."""
        total = Cost()
        for cost in self.costs.values():
            total.add(cost)
        return total

    @property
    def seconds(self) -> float:
        """Predicted seconds until both host and device have finished."""
        return max(self.host, self.device)

    def by_place(self) -> dict[str, Cost]:
        """Return the costs by place, those of most seconds first."""
        places: defaultdict[str, Cost] = defaultdict(Cost)
        for (place, _), cost in self.costs.items():
            places[place].add(cost)
        return dict(sorted(places.items(), key=lambda item: -self._seconds_of(item[1])))

    def launch(self, name: str, launches: int, memory_bytes: int, flop: float, rate: float) -> None:
        """Count an operator on the device."""
        rates = self.rates
        seconds = max(memory_bytes / rates.memory, flop / rate, rates.kernel * launches)
        self._at(name).add(Cost(1, launches, memory_bytes=memory_bytes, flop=flop, device_seconds=seconds))
        self._queue(launches, seconds)

    def copy(self, name: str, size: int, *, is_pinned: bool) -> None:
        """Count a copy between host and device."""
        rates = self.rates
        seconds = max(size / (rates.pinned if is_pinned else rates.pageable), rates.kernel)
        self._at(name).add(Cost(1, 1, bus_bytes=size, bus_seconds=seconds))
        self._queue(1, seconds)

    def compute_on_host(self, name: str, size: int) -> None:
        """Count an operator on the CPU that reads and writes `size` bytes."""
        self._at(name).add(Cost(host_bytes=size))
        self.host += size / self.rates.host

    def wait(self, name: str) -> None:
        """Count a wait of the host for all that is queued."""
        self.wait_until(name, self.device)

    def wait_until(self, name: str, moment: float) -> None:
        """Count a wait of the host until the device's clock has reached `moment`."""
        self._at(name).add(Cost(waits=1))
        self.host = max(self.host, moment) + self.rates.wait

    def clear(self) -> None:
        """Forget all costs; the clocks keep running."""
        self.costs.clear()

    def _queue(self, launches: int, seconds: float) -> None:
        self.host += self.rates.launch * launches
        self.device = max(self.device, self.host) + seconds

    def _at(self, name: str) -> Cost:
        return self.costs[self._place(), name]

    def _place(self) -> str:
        frame = sys._getframe(2)
        while frame := frame.f_back:  # type: ignore[assignment]
            path = frame.f_code.co_filename
            if any(part in path for part in self._code):
                return f"{path.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
        return _ELSEWHERE

    def _by_operator(self, what: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, name), cost in self.costs.items():
            found[name] += getattr(cost, what)
        return +found

    def _seconds_of(self, cost: Cost) -> float:
        rates = self.rates
        return cost.device_seconds + cost.bus_seconds + rates.launch * cost.launches + rates.wait * cost.waits
