"""PgBouncer between the processes and PostgreSQL, in both of its modes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select, text

from service.contract.scopes import Scope
from service.database import schema
from service.database.address import DatabaseAddress
from service.database.connecting import shares_sessions
from service.database.engine import Database
from service.database.reasons import reason_of
from service.database.tables.keys import ApiKey
from service.ops.startup import NotUsable, _check_database, _check_direct_database
from service.settings import Settings
from tests.support.api_server import BODY, client, key_for, serving
from tests.support.job_rows import insert_job, job_row
from tests.support.pgbouncer import pgbouncer
from tests.support.servers import at
from tests.support.statements import recorded_statements
from tests.support.threads import dispatcher_threads
from tests.support.waiting import eventually


@pytest.fixture
def pooler(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The database through a PgBouncer in transaction mode."""
    with pgbouncer(tmp_path, database_url) as pooler:
        yield pooler.urls[0]


@pytest.fixture
def pooled(settings: Settings, database_url: str, pooler: str) -> Settings:
    return at(settings, database_url=pooler, database_direct_url=database_url)


def test_a_pooler_in_transaction_mode_is_told_from_a_server(database_url: str, pooler: str, tmp_path: Path) -> None:
    def shares(url: str) -> bool:
        return shares_sessions(DatabaseAddress.of(url, is_pooled=url != database_url))

    assert shares(pooler)
    assert not shares(database_url)
    with pgbouncer(tmp_path, database_url, mode="session") as in_sessions:
        assert not shares(in_sessions.urls[0])


@pytest.mark.parametrize("ignored", ["", "options"])
def test_a_pooler_without_a_direct_address_is_refused_at_start(
    settings: Settings, database_url: str, tmp_path: Path, ignored: str
) -> None:
    with pgbouncer(tmp_path, database_url, ignored=ignored) as started:
        [pooler] = started.urls
        with pytest.raises(NotUsable, match="set DSNOT_DATABASE_DIRECT_URL to the PostgreSQL server itself"):
            _check_database(at(settings, database_url=pooler))
        with pytest.raises(NotUsable, match="PostgreSQL server itself"):
            _check_direct_database(at(settings, database_url=pooler, database_direct_url=pooler))
        good = at(settings, database_url=pooler, database_direct_url=database_url)
        _check_database(good)
        _check_direct_database(good)


def test_a_direct_address_of_another_database_is_refused_at_start(settings: Settings, database_url: str, pooler: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE another")
    another = database_url.replace("/postgres", "/another")
    try:
        schema.upgrade(another)
        with pytest.raises(NotUsable, match="another database than DSNOT_DATABASE_URL"):
            _check_direct_database(at(settings, database_url=pooler, database_direct_url=another))
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE another WITH (FORCE)")


def test_requests_through_a_pooler_in_transaction_mode_all_succeed(pooled: Settings, database: Database) -> None:
    key = key_for(database, Scope.ADMIN)
    with serving(pooled) as url, ThreadPoolExecutor(8) as threads:

        def use(_: int) -> list[int]:
            with client(url, key) as api:
                reads = [api.get("/v1/jobs").status_code for _ in range(12)]
                return [api.post("/v1/jobs", json=BODY).status_code, *reads, api.get("/readyz").status_code]

        for statuses in threads.map(use, range(8)):
            assert statuses == [201, *[200] * 13]


def test_notifications_arrive_past_a_pooler(pooled: Settings, database: Database) -> None:
    slow = pooled.model_copy(update={"dispatch_seconds": 60.0})
    with dispatcher_threads(slow) as stop:
        for _ in range(2):
            job_id = insert_job(database)
            eventually(lambda: job_row(database, job_id).sent_at)  # noqa: B023
        stop.set()
        insert_job(database)  # its event wakes the dispatcher, which then stops


def test_transactions_through_a_pooler_have_their_timeouts_and_formats(pooled: Settings, database: Database) -> None:
    key_for(database, Scope.ADMIN)
    pooled_database = Database(pooled.database_address, answer_seconds=3.0)
    with pooled_database.begin() as session:
        shown = [session.execute(text(f"SHOW {name}")).scalar_one() for name in ("statement_timeout", "timezone", "datestyle")]
        assert shown == ["3s", "UTC", "ISO, MDY"]
    with pooled_database.at_once() as session, recorded_statements() as executed:
        assert session.scalars(select(ApiKey.created_at)).one().tzname() == "UTC"
    assert len(executed) == 1, "settings of a transaction have no effect without one"
    pooled_database.close()


def test_a_pooler_that_has_lost_its_server_is_named() -> None:
    message = "server login has been failing, try again later (server_login_retry)"  # of PgBouncer 1.18, a few seconds after
    reason = "the connection pooler has no connection to the server"
    assert reason_of(psycopg.errors.ProtocolViolation(message)).startswith(reason)
