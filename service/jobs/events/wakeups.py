"""Wake-up of event streams and long-polling requests: one LISTEN connection to PostgreSQL per process."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from service.contract.messages import EVENTS_CHANNEL, KEYS_CHANNEL, LOGS_CHANNEL, PROGRESS_CHANNEL
from service.database.address import DatabaseAddress
from service.database.connecting import arguments_of
from service.database.reasons import reason_of
from service.errors import Unavailable
from service.logging import get_logger
from service.tenants.shares import Pool

log = get_logger(__name__)
_RECONNECT_SECONDS: Final = 1.0
_AT_ONCE: Final = 4
_CHANNELS: Final = (EVENTS_CHANNEL, LOGS_CHANNEL, PROGRESS_CHANNEL, KEYS_CHANNEL)


@dataclass(eq=False)
class Subscription:
    """Notifications that a stream or request has not yet handled."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every notification."""
    has_news: bool = True
    """Whether there may be new events or log lines to read."""
    is_doubtful: bool = False
    """Whether the caller's key or session may have ended."""
    progress: str | None = None
    """Latest progress as JSON, unless an event was written after it."""

    def note(self, channel: str, detail: str) -> None:
        """Record a notification."""
        if channel == PROGRESS_CHANNEL:
            self.progress = detail
        elif channel == KEYS_CHANNEL:
            self.is_doubtful = True
        else:
            self.has_news = True
        if channel == EVENTS_CHANNEL:
            self.progress = None  # the event supersedes it; a new stage has none yet
        self.woken.set()

    def note_loss(self) -> None:
        """Record that notifications may have been lost, or that the process stops."""
        self.has_news = self.is_doubtful = True
        self.woken.set()


class Wakeups:
    """Waiting streams by job. Used on the event loop only; only `run` uses the database.

    Notifications are lost while the connection is down. Streams therefore also poll once a minute, and all are woken after every
    reconnection.
    """

    def __init__(self, address: DatabaseAddress | str, max_streams: int) -> None:
        self._arguments = arguments_of(DatabaseAddress.of(address))
        self._streams = Pool("event streams", max_streams)
        self._waiting: defaultdict[tuple[str, str], set[Subscription]] = defaultdict(set)
        self.closing = False
        """Set at shutdown: streams have to end."""
        self.turn = asyncio.Semaphore(_AT_ONCE)
        """Limits the woken requests that query at the same time, so that threads and connections remain for other requests."""

    @contextmanager
    def subscribe(self, job_id: UUID, *channels: str, tenant: str, key_id: str | None = None) -> Iterator[Subscription]:
        """Yield a subscription to the job's notifications on these channels, its events by default, and to those of a key.

        Raises:
            Unavailable: this process serves its maximum number of streams, or stops.
            ShareExceeded: the tenant has its share of them.
        """
        if self.closing:
            raise Unavailable("the service process is stopping; try again shortly", retry_after=5)
        opened, subjects = Subscription(), [(channel, str(job_id)) for channel in channels or (EVENTS_CHANNEL,)]
        if key_id is not None:
            subjects.append((KEYS_CHANNEL, key_id))
        with self._streams.hold(tenant):
            for subject in subjects:
                self._waiting[subject].add(opened)
            try:
                yield opened
            finally:
                for subject in subjects:
                    self._waiting[subject].discard(opened)
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
            for channel in _CHANNELS:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._wake_all()
            async for notification in connection.notifies():
                self._wake(notification.channel, notification.payload)

    def _wake(self, channel: str, payload: str) -> None:
        subject, _, detail = payload.partition(" ")
        for subscription in self._waiting.get((channel, subject), ()):
            subscription.note(channel, detail)

    def _wake_all(self) -> None:
        for subscriptions in self._waiting.values():
            for subscription in subscriptions:
                subscription.note_loss()


async def happens(woken: asyncio.Event, seconds: float) -> bool:
    """Wait for the event; return False if it is not set within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await woken.wait()
    except TimeoutError:
        return False
