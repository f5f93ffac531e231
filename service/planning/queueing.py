"""Place of a job in the queue and wait until its claim: a simulation of the tenants' turns at the workers.

The order is that of the claims (`service.jobs.attempts.turns`). All jobs are assumed to run for the same time, to have memory on
every worker, and a tenant's jobs to be as old as its oldest one.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.jobs.attempts.standings import Standing

_MOST_CLAIMS: Final = 2000
"""Claims that are simulated; beyond them the pace of the tenant's jobs so far is assumed to continue."""


class Slot(NamedTuple):
    """A worker: the seconds until it is idle, None where unknown, and the tenant of its job; 0 and None for an idle one."""

    seconds: float | None
    tenant: str | None


@dataclass(frozen=True)
class Place:
    """Number of jobs that are claimed before a job, and the seconds until it is claimed; None if unknown."""

    ahead: int
    starts_in: float | None


def place(standings: Sequence[Standing], tenant: str, before: int, slots: Sequence[Slot], mean_seconds: float | None) -> Place:
    """Return the place of a job.

    Args:
        standings: tenants with queued jobs, and that of the job.
        before: the tenant's own jobs that are claimed before this one.
        slots: workers that may run the job. Without any, the place is that at a single worker.
        mean_seconds: run time of a job; None if unknown.
    """
    unit = mean_seconds or 1.0
    assumed = [Slot(unit if slot.seconds is None else slot.seconds, slot.tenant) for slot in slots]
    lines = {each.tenant: _Line.of(each) for each in standings}
    own = lines[tenant]
    own.queued = before + 1
    claims, seconds = _Simulation(lines, assumed or [Slot(0.0, None)], unit).claims_until(own)
    claimed = before + 1 - own.queued
    is_reached = own.queued == 1
    pace = 1.0 if is_reached else before / claimed if claimed else None
    ahead = claims if pace is None else round(claims * pace)
    if not slots or seconds is None or pace is None:
        return Place(ahead, None)
    if seconds and (None in (slot.seconds for slot in slots) or (claims and mean_seconds is None)):
        return Place(ahead, None)
    return Place(ahead, seconds * pace)


@dataclass
class _Line:
    """Jobs of one tenant in the simulation."""

    tenant: str
    queued: int
    since: float
    running: int
    share: int
    most: float
    next_tag: float | None
    entry: int = 0
    """Number of its valid entry in the order of turns; the entries before are outdated."""

    @classmethod
    def of(cls, found: Standing) -> "_Line":
        since = found.since.timestamp() if found.since else float("inf")
        most = float("inf") if found.max_running_jobs is None else found.max_running_jobs
        tag = None if found.tag is None else found.tag + 1 / found.share
        return cls(found.tenant, found.queued, since, found.running, found.share, most, tag)

    @property
    def place(self) -> tuple[int, float, float, str]:
        """Sort key of the turns."""
        tag = float("-inf") if self.next_tag is None else self.next_tag
        return self.running // self.share, tag, self.since, self.tenant


class _Simulation:
    """Claims by workers that become idle, one after the other; each job takes `unit` seconds."""

    def __init__(self, lines: dict[str, _Line], slots: Sequence[Slot], unit: float) -> None:
        self._lines, self._unit = lines, unit
        self._busy = [(slot.seconds or 0.0, number, slot.tenant) for number, slot in enumerate(slots)]
        heapq.heapify(self._busy)
        self._turns: list[tuple[tuple[int, float, float, str], int, _Line]] = []
        for line in lines.values():
            self._queue(line)
        self._highest = max((line.next_tag - 1 / line.share for line in lines.values() if line.next_tag is not None), default=0.0)

    def claims_until(self, own: _Line) -> tuple[int, float | None]:
        """Return the number of claims before that of the last job of `own`, or the most that are simulated, and the time.

        The time is None if all running jobs end and it is not claimed: the tenant's limit allows it no job, or is reached by jobs
        of other workers.
        """
        claims, idle, slots = 0, 0, len(self._busy)
        while self._busy:
            now, _, ended = heapq.heappop(self._busy)
            idle += 1
            if ended is not None and (line := self._lines.get(ended)) is not None:
                line.running = max(0, line.running - 1)
                self._queue(line)
            while idle and (line := self._next()) is not None:
                if (line is own and own.queued == 1) or claims == _MOST_CLAIMS:
                    return claims, now
                self._claim(line)
                claims += 1
                idle -= 1
                heapq.heappush(self._busy, (now + self._unit, slots + claims, line.tenant))
        return claims, None

    def _queue(self, line: _Line) -> None:
        """Enter the line into the turns, unless it has no job or as many running ones as it may have."""
        line.entry += 1
        if line.queued and line.running < line.most:
            heapq.heappush(self._turns, (line.place, line.entry, line))

    def _next(self) -> _Line | None:
        while self._turns:
            _, entry, line = self._turns[0]
            if entry == line.entry:
                return line
            heapq.heappop(self._turns)
        return None

    def _claim(self, line: _Line) -> None:
        self._highest = max(self._highest, self._highest if line.next_tag is None else line.next_tag)
        line.next_tag = self._highest + 1 / line.share
        line.queued -= 1
        line.running += 1
        self._queue(line)
