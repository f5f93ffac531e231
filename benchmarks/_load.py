"""Load generator of `benchmarks.service`: many concurrent HTTP clients, each with a keep-alive connection of its own.

The clients share the processor with the service that they measure, so the client library is a lightweight one (aiohttp).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import repeat
from multiprocessing import get_context
from typing import Any
from uuid import UUID, uuid4

from aiohttp import ClientSession, ClientTimeout

from benchmarks._servers import Servers
from service.contract.states import EventType
from service.database.engine import Database
from service.jobs.events import repository as events

Timed = tuple[list[float], float]
_PAUSE = 0.3
"""Seconds between events, so that each finds the streams idle."""


def requests(
    servers: Servers, request: Mapping[str, Any], count: int, clients: int, *, keyed: bool = False, every: float = 0.0
) -> Timed:
    """Send the request `count` times from concurrent clients; return the seconds of each, and of all together.

    Args:
        keyed: send each request with an `Idempotency-Key` of its own.
        every: seconds between the requests of a client (open loop), timed from when a request was due, so that a delay by
            the response before it counts; 0: one after the other, as fast as they are answered (closed loop).
    """
    left = _under_keys(request, count) if keyed else repeat(request, count)
    return asyncio.run(_requests(servers, left, clients, every))


def _under_keys(request: Mapping[str, Any], count: int) -> Iterator[Mapping[str, Any]]:
    return ({**request, "headers": {"Idempotency-Key": str(uuid4())}} for _ in range(count))


async def _requests(servers: Servers, left: Iterator[Mapping[str, Any]], clients: int, every: float) -> Timed:
    async with sessions(servers, clients) as connected:
        began = time.perf_counter()
        starts = (began + every * number / clients for number in range(clients))  # staggered
        parts = await asyncio.gather(*(_send(each, left, every, start) for each, start in zip(connected, starts, strict=True)))
        return [seconds for part in parts for seconds in part], time.perf_counter() - began


async def _send(client: ClientSession, left: Iterator[Mapping[str, Any]], every: float, due: float) -> list[float]:
    """Send requests one after the other until none is left; return the seconds of each."""
    seconds = []
    for request in left:
        await asyncio.sleep(max(0.0, due - time.perf_counter()) if every else 0)
        began = due if every else time.perf_counter()
        async with client.request(**request) as response:
            text = await response.text()
        seconds.append(time.perf_counter() - began)
        assert response.ok, text
        due += every
    return seconds


@asynccontextmanager
async def sessions(servers: Servers, clients: int) -> AsyncIterator[list[ClientSession]]:
    """Yield clients whose connections are open."""
    headers = {"Authorization": f"Bearer {servers.key}"}
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(ClientSession(servers.url, headers=headers, timeout=ClientTimeout(60)))
            for _ in range(clients)
        ]
        await asyncio.gather(*(_visit(client) for client in opened))
        yield opened


async def _visit(client: ClientSession) -> None:
    async with client.get("/livez") as response:
        await response.read()


def streams(servers: Servers, job_id: UUID, count: int, clients: int) -> list[float]:
    """Append `count` events to the job, one after the other; return the seconds until each client's stream has each event.

    The clock starts before the transaction that writes the event, in a process of its own.
    """
    return asyncio.run(_streams(servers, job_id, count, clients))


async def _streams(servers: Servers, job_id: UUID, count: int, clients: int) -> list[float]:
    opened = asyncio.Semaphore(0)
    with ProcessPoolExecutor(1, get_context("spawn")) as writer:
        async with sessions(servers, clients) as connected:
            readers = [asyncio.create_task(_read(client, job_id, count, opened)) for client in connected]
            for _ in readers:
                await opened.acquire()
            loop = asyncio.get_running_loop()
            for _ in range(count):
                await asyncio.sleep(_PAUSE)
                await loop.run_in_executor(writer, _append, servers.database_url, job_id)
                for _ in readers:
                    await opened.acquire()
            return [seconds for reader in readers for seconds in await reader]


async def _read(client: ClientSession, job_id: UUID, count: int, ready: asyncio.Semaphore) -> list[float]:
    """Follow the stream until `count` timed events have arrived; release `ready` for each, and for the stored one before."""
    seconds = list[float]()
    async with client.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}) as response:
        async for line in response.content:
            name, _, value = line.decode().partition(": ")
            if name != "data":
                continue
            written = json.loads(value)["data"].get("written")
            if written is not None:
                seconds.append(time.time() - written)
            ready.release()
            if len(seconds) == count:
                break
    return seconds


def _append(database_url: str, job_id: UUID) -> None:
    database = Database(database_url, pool_size=1)
    with database.engine.connect():
        pass
    written = time.time()  # not the monotonic clock, whose origin may differ between processes
    with database.begin() as session:
        events.append(session, job_id, EventType.BLOCK_PRUNED, {"written": written})
    database.close()
