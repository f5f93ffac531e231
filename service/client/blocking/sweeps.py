# generated from aio/ by `make client`; do not edit
"""Calls for sweeps: `client.sweeps`."""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from service.client.blocking.events import follow
from service.client.blocking.http import Calls, Listing
from service.client.events import Event, event_of
from service.client.patience import Repeat
from service.client.request import drop_none, path_to, text_of
from service.client.sweeps import Sweep, SweepDetail, SweepPlan
from service.contract.sweeps import SweepSpec, SweepState

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
"""Seconds between two polls of a sweep, growing from the first to the longest."""

SweepBody = SweepSpec | Mapping[str, Any]


class SweepCalls(Calls):
    """Sweeps, their points and their events."""

    def create(self, spec: SweepBody, *, idempotency_key: str | None = None) -> SweepDetail:
        """Create a sweep or a search, with its jobs. Retries after lost responses create no second one.

        `idempotency_key`: the caller's own, such as a pipeline's run id: several calls within a day create one sweep.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        body = _body(spec)
        return self._http.fetch(SweepDetail.model_validate, "POST", path_to("sweeps"), body=body, headers=headers)

    def plan(self, spec: SweepBody) -> SweepPlan:
        """Return a dry run: the points, time, disk, and warnings. All points are validated, nothing is stored."""
        query = {"validate_only": "true"}
        return self._http.fetch(SweepPlan.model_validate, "POST", path_to("sweeps"), query=query, body=_body(spec))

    def list(self, *, state: SweepState | str | Sequence[str] | None = None) -> Listing[Sweep]:
        """List the sweeps, newest first, without their points; pages are fetched as needed."""
        return self._http.items(Sweep.model_validate, path_to("sweeps"), drop_none(state=state or None))

    def get(self, sweep_id: str, *, front: Sequence[str] = ()) -> SweepDetail:
        """Return one sweep with its points. `front`: two or three measures of the Pareto front, such as `seconds`."""
        query = {"front": [*front]}
        return self._http.fetch(SweepDetail.model_validate, "GET", path_to("sweeps", sweep_id), query=query)

    def csv(self, sweep_id: str, *, front: Sequence[str] = ()) -> str:
        """Return the table of points as CSV: a column for each axis and each figure."""
        path, query = path_to("sweeps", sweep_id, "points.csv"), {"front": [*front]}
        return text_of(self._http.send("GET", path, query=query), "text/csv")

    def cancel(self, sweep_id: str) -> SweepDetail:
        """Cancel the unfinished jobs of the sweep."""
        return self._change(sweep_id, "cancel")

    def pause(self, sweep_id: str) -> SweepDetail:
        """Pause the unfinished jobs of the sweep; their finished blocks are kept."""
        return self._change(sweep_id, "pause")

    def resume(self, sweep_id: str) -> SweepDetail:
        """Queue the paused jobs of the sweep again."""
        return self._change(sweep_id, "resume")

    def retry(self, sweep_id: str) -> SweepDetail:
        """Retry the points of an ended sweep that failed, expired or were cancelled; a failed search continues."""
        return self._change(sweep_id, "retry", Repeat.UNDONE)

    def _change(self, sweep_id: str, change: str, repeat: Repeat = Repeat.ALWAYS) -> SweepDetail:
        return self._http.fetch(SweepDetail.model_validate, "POST", path_to("sweeps", sweep_id, change), repeat=repeat)

    def delete(self, sweep_id: str, *, keep_jobs: bool = False) -> None:
        """Delete a sweep that has ended, and its jobs with their artifacts unless `keep_jobs`."""
        query = {"keep_jobs": "true"} if keep_jobs else None
        self._http.send("DELETE", path_to("sweeps", sweep_id), query=query, repeat=Repeat.UNDONE)

    def events(self, sweep_id: str, after: int = 0) -> Generator[Event]:
        """Yield every event above number `after`, live, each once and in order, until the sweep has ended.

        Reconnects after a lost connection.
        """
        return follow(self._http, path_to("sweeps", sweep_id, "events"), after, event_of)

    def list_events(self, sweep_id: str, *, after: int = 0) -> Listing[Event]:
        """List the events above number `after` that have happened so far."""
        return self._http.items(event_of, path_to("sweeps", sweep_id, "events"), {"after": after})

    def wait(self, sweep_id: str, timeout: float | None = None) -> SweepDetail:
        """Wait until the sweep has ended, and return it.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; the sweep continues.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while True:
            sweep = self.get(sweep_id)
            if sweep.has_ended:
                return sweep
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"sweep {sweep_id} is still {sweep.state} after {timeout:.0f} s")
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_PAUSE)


def _body(spec: SweepBody) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_none=True) if isinstance(spec, SweepSpec) else dict(spec)
