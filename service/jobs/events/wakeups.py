"""Wake-up of event streams and long-polling requests: one LISTEN connection to PostgreSQL per process."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from service.contract.messages import EVENTS_CHANNEL, LOGS_CHANNEL
from service.database.address import DatabaseAddress
from service.database.connecting import arguments_of
from service.database.reasons import reason_of
from service.errors import Unavailable
from service.logging import get_logger
from service.tenants.shares import Pool

log = get_logger(__name__)
_RECONNECT_SECONDS: Final = 1.0
_AT_ONCE: Final = 4


class Wakeups:
    """Waiting streams by job. Used on the event loop only; only `run` uses the database.

    Notifications are lost while the connection is down. Streams therefore also poll from time to time, and all are woken after
    every reconnection.
    """

    def __init__(self, address: DatabaseAddress | str, max_streams: int) -> None:
        self._arguments = arguments_of(DatabaseAddress.of(address))
        self._streams = Pool("event streams", max_streams)
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self.closing = False
        """Set at shutdown: streams have to end."""
        self.turn = asyncio.Semaphore(_AT_ONCE)
        """Limits the woken requests that query at the same time, so that threads and connections remain for other requests."""

    @contextmanager
    def subscribe(self, job_id: UUID, *channels: str, tenant: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the job may have something new on one of the channels, its events by default.

        Raises:
            Unavailable: this process serves its maximum number of streams, or stops.
            ShareExceeded: the tenant has its share of them.
        """
        if self.closing:
            raise Unavailable("the service process is stopping; try again shortly", retry_after=5)
        woken, subjects = asyncio.Event(), [(channel, str(job_id)) for channel in channels or (EVENTS_CHANNEL,)]
        with self._streams.hold(tenant):
            for subject in subjects:
                self._waiting[subject].add(woken)
            try:
                yield woken
            finally:
                for subject in subjects:
                    self._waiting[subject].discard(woken)
                    if not self._waiting[subject]:
                        del self._waiting[subject]

    def close(self) -> None:
        """End all streams."""
        self.closing = True
        self._wake_all()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.warning("event_listener_disconnected", reason=reason_of(error))
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(**self._arguments, autocommit=True)
        async with connection:
            for channel in (EVENTS_CHANNEL, LOGS_CHANNEL):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._wake_all()
            async for notification in connection.notifies():
                self._wake(notification.channel, notification.payload)

    def _wake(self, channel: str, job: str) -> None:
        for woken in self._waiting.get((channel, job), ()):
            woken.set()

    def _wake_all(self) -> None:
        for subject in self._waiting:
            self._wake(*subject)


async def happens(woken: asyncio.Event, seconds: float) -> bool:
    """Wait for the event; return False if it is not set within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await woken.wait()
    except TimeoutError:
        return False
