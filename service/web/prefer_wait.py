"""`Prefer: wait=n` (RFC 7240): long polling until the job has ended, for at most n seconds.

A waiting request holds no thread. It is woken like an event stream, and its reads take turns, so that many waiting requests do
not block others.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.request import parse_http_list
from uuid import UUID

from fastapi import Depends, Header, Request
from starlette.concurrency import run_in_threadpool

from service.contract.states import TERMINAL_STATES
from service.database.engine import TRANSIENT
from service.database.tables.jobs import Job
from service.errors import Later
from service.jobs import operations
from service.jobs.events.wakeups import happens
from service.web.dependencies import Resources, TheResources
from service.web.headers import HeaderText

MAX_SECONDS: Final = 60
_POLL_SECONDS: Final = 5.0
"""Interval of polling, in case a notification was lost, and of checks for a disconnected caller."""
_TEXT: Final = """\
`wait=n` (RFC 7240): respond when the job has ended, or after n seconds, at most 60. `Preference-Applied` confirms the wait;
without it (the service is stopping, or too many requests wait) the response is immediate. Other preferences are ignored."""

VARY: Final = {"Vary": "Prefer"}
WAITED: Final[dict[str, Any]] = {
    "Vary": {"schema": {"type": "string"}, "description": "`Prefer`: the response depends on this request header"},
    "Preference-Applied": {
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
        "description": "`wait=n`: the job has ended, or n seconds have elapsed",
    },
}
"""OpenAPI declaration of the response headers."""


def wait_seconds(prefer: Iterable[str]) -> int | None:
    """Return the seconds of `wait` in the lines of the header `Prefer`; None if missing or malformed (RFC 7240)."""
    for preference in parse_http_list(",".join(prefer)):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":  # only the first one counts
            return _seconds(value.strip().strip('"'))
    return None


def _seconds(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdecimal()):
        return None
    shorter = digits.lstrip("0") or "0"
    return min(int(shorter[:3]), MAX_SECONDS)


@dataclass(frozen=True)
class Waited:
    """Job after the wait, and the response headers."""

    job: Job
    headers: dict[str, str]


@dataclass(frozen=True)
class Waiting:
    """Wait requested by the caller, and the resources that it uses."""

    seconds: int | None
    """None: no wait requested."""
    request: Request
    resources: Resources

    async def until_ended(self, job_id: UUID, *, tenant: str) -> Waited:
        """Wait until the job has ended or the time is up. Raise JobNotFound, also if the job is deleted meanwhile."""
        job = await self._read(job_id, tenant)
        if self.seconds is None:
            return Waited(job, VARY)
        began = time.monotonic()
        try:
            with self.resources.wakeups.subscribe(job_id, tenant=tenant) as opened:
                return await self._watch(job, opened.woken, began + self.seconds)
        except Later:  # a preference, not a demand
            return Waited(job, VARY)
        finally:
            self.request.state.waited_seconds = time.monotonic() - began

    async def _watch(self, job: Job, woken: asyncio.Event, deadline: float) -> Waited:
        applied = VARY | {"Preference-Applied": f"wait={self.seconds}"}
        while True:
            woken.clear()  # before reading: a concurrent write sets it again
            job = await self._look(job)
            left = deadline - time.monotonic()
            if job.state in TERMINAL_STATES or left <= 0:
                return Waited(job, applied)
            if self.resources.wakeups.closing or await self.request.is_disconnected():
                return Waited(job, VARY)
            await happens(woken, min(left, _POLL_SECONDS))

    async def _look(self, job: Job) -> Job:
        """Return the current job, or the last known one while the database is unavailable."""
        try:
            async with self.resources.wakeups.turn:
                return await self._read(job.id, job.tenant)
        except TRANSIENT:
            return job

    async def _read(self, job_id: UUID, tenant: str) -> Job:
        return await run_in_threadpool(operations.get, self.resources.database, job_id, tenant=tenant)


async def _waiting(
    request: Request, resources: TheResources, _prefer: Annotated[HeaderText, Header(alias="Prefer", description=_TEXT)] = None
) -> Waiting:
    return Waiting(wait_seconds(request.headers.getlist("Prefer")), request, resources)


ToWait = Annotated[Waiting, Depends(_waiting)]
