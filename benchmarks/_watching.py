"""Cost of watchers: the database's transactions while event streams of one job are open."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from uuid import UUID

from aiohttp import ClientResponse, ClientSession, ClientTimeout
from sqlalchemy import text

from benchmarks._load import sessions
from benchmarks._servers import Servers
from service.database.engine import Database
from service.jobs.attempts import repository

_SETTLING = 0.2
"""Share of the time that passes before counting: an idle connection of PostgreSQL publishes its counters within 10 s."""
_ARRIVAL_SECONDS = 30
_COUNT = text("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")


def transactions(servers: Servers, database: Database, job_id: UUID, watchers: int, seconds: float) -> int:
    """Return the number of transactions in `seconds`, with an open stream per watcher and a report of progress every second."""
    return asyncio.run(_transactions(servers, database, job_id, watchers, seconds))


async def _transactions(servers: Servers, database: Database, job_id: UUID, watchers: int, seconds: float) -> int:
    async with sessions(servers, watchers) as clients, AsyncExitStack() as stack:
        arrivals = []
        for client in clients:
            arrivals.append(arrived := asyncio.Event())
            reader = asyncio.create_task(_read(await stack.enter_async_context(_stream(client, job_id)), arrived))
            stack.callback(reader.cancel)
        await asyncio.sleep(_SETTLING * seconds)
        before, end, reported = _counted(database), time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            _report(database, job_id, reported := reported + 1)
            await asyncio.sleep(min(1.0, left))
        counted = _counted(database) - before
        async with asyncio.timeout(_ARRIVAL_SECONDS):
            await asyncio.gather(*(arrived.wait() for arrived in arrivals))
        return counted


def _stream(client: ClientSession, job_id: UUID) -> AbstractAsyncContextManager[ClientResponse]:
    path, headers = f"/v1/jobs/{job_id}/events?progress=true", {"Accept": "text/event-stream"}
    return client.get(path, headers=headers, timeout=ClientTimeout(None))


async def _read(response: ClientResponse, arrived: asyncio.Event) -> None:
    async for line in response.content:
        if line == b"event: progress\n":
            arrived.set()


def _report(database: Database, job_id: UUID, done: int) -> None:
    with database.begin() as session:
        repository.progress(session, job_id, 0, {"done": done, "total": 1000, "unit": "windows"})


def _counted(database: Database) -> int:
    with database.begin() as session:
        return int(session.execute(_COUNT).scalar_one())
