"""Wake-up by PostgreSQL notification: a wait that any job event ends early."""

import threading

import psycopg
from psycopg import sql

from service.contract.messages import EVENTS_CHANNEL
from service.database.address import DatabaseAddress
from service.database.connecting import arguments_of


class EventListener:
    """Listener for job events on its own connection, reopened after an error."""

    def __init__(self, address: DatabaseAddress | str) -> None:
        self._arguments = arguments_of(DatabaseAddress.of(address))
        self._connection: psycopg.Connection | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return after `seconds`, or as soon as a job's event was committed."""
        try:
            for _ in self._listening().notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            stop.wait(seconds)

    def _listening(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(**self._arguments, autocommit=True)
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(EVENTS_CHANNEL)))
        return self._connection

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
