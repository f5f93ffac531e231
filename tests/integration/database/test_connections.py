"""Connections that are not asked whether they are sound, and statements that need no transaction."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import pytest
from sqlalchemy import func, select, text

from service.database.engine import Database, Session
from service.database.tables.audit import AuditEntry
from service.tenants.audit import repository

Way = Callable[[Database], AbstractContextManager[Session]]


@pytest.fixture
def own(database_url: str, database: Database) -> Iterator[Database]:
    """The same database, by connections that no other test has used."""
    own = Database(database_url, pool_size=1)
    yield own
    own.close()


def backend(database: Database, begin: Way) -> int:
    """The server's process that the connection leads to."""
    with begin(database) as session:
        return int(session.execute(select(func.pg_backend_pid())).scalar_one())


def actions(database: Database) -> list[str]:
    with database.begin() as session:
        return list(session.scalars(select(AuditEntry.action)))


@pytest.mark.parametrize("begin", [Database.begin, Database.at_once], ids=["transaction", "at once"])
def test_a_connection_closed_by_the_server_is_replaced_silently(own: Database, database: Database, begin: Way) -> None:
    first = backend(own, begin)
    assert backend(own, begin) == first
    with database.begin() as session:
        assert session.execute(text(f"SELECT pg_terminate_backend({first}, 5000)")).scalar_one()
    assert backend(own, begin) != first


def test_a_commit_is_visible_at_once_and_durable(own: Database, database: Database) -> None:
    with suppress(ZeroDivisionError), own.at_once() as session:
        repository.add(session, tenant="acme", action="create_job", path="/v1/jobs")
        assert actions(database) == ["create_job"]
        raise ZeroDivisionError
    with suppress(ZeroDivisionError), own.begin() as session:
        repository.add(session, tenant="acme", action="cancel_job", path="/v1/jobs")
        assert actions(database) == ["create_job"]
        raise ZeroDivisionError
    assert actions(database) == ["create_job"]
