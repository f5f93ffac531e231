"""Wait of a job in the queue, from the times until workers are idle."""

import heapq
from collections.abc import Iterable


def starts_in(*, idle: int, busy: Iterable[float | None], ahead: int, mean_seconds: float | None) -> float | None:
    """Estimate the seconds until a worker claims the job; None if unknown.

    Args:
        idle: number of workers without a job.
        busy: seconds until each of the other workers is idle; None where unknown.
        ahead: number of jobs that are claimed before this one.
        mean_seconds: run time of each of these.
    """
    if ahead < idle:
        return 0.0
    until = list(busy)
    known = [seconds for seconds in until if seconds is not None]
    if len(known) < len(until) or not (known or idle) or (ahead and mean_seconds is None):
        return None
    free = [0.0] * idle + known
    heapq.heapify(free)
    for _ in range(ahead):
        heapq.heappush(free, heapq.heappop(free) + (mean_seconds or 0.0))
    return free[0]
