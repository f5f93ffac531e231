"""Times of a job on the pages: what is left of it, and how long its attempts took."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from service.contract.states import HELD_STATES
from service.dashboard.formats import duration
from service.database.tables.jobs import Job
from service.jobs.attempts import timeline
from service.jobs.schemas import active_seconds
from service.kit.quantities import about
from service.planning.eta import Eta


def time_left(eta: Eta, now: datetime) -> str:
    """Return `About 12 min (10 to 15 min) left` for a job whose end is estimated."""
    return f"{until_end(eta, now)} left".capitalize()


def until_end(eta: Eta, now: datetime) -> str:
    """Return `about 12 min (10 to 15 min)` for a job whose end is estimated."""
    ends = (eta.ends_at, eta.ends_earliest_at, eta.ends_latest_at)
    value, low, high = (max(0.0, ((moment or now) - now).total_seconds()) for moment in ends)
    return about(value, low, high)


def active_time(job: Job, now: datetime) -> str:
    """Return the time of all attempts, without waits and pauses; a dash before the first."""
    since = job.attempt_started_at if job.state in HELD_STATES else None
    running = (now - since).total_seconds() if since else None
    ended = active_seconds(job)
    return duration(None if ended is None and running is None else (ended or 0.0) + (running or 0.0))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each for each in (time_left, until_end, active_time, timeline.stage_seconds, timeline.active_seconds)
}
