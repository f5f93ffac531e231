"""Databases that refuse, are configured in another way, or are several: reasons without secrets, and one way to connect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.exc import InternalError
from structlog.testing import capture_logs

from service.cli.databases import the_database
from service.cli.migrate import migrate
from service.cli.output import CommandFailed
from service.contract.scopes import Scope
from service.database import schema
from service.database.engine import Database
from service.dispatcher.listener import EventListener
from service.embedded.processes import free_port
from service.ops.startup import NotUsable, _check_database
from service.settings import Settings
from service.tenants.keys.operations import list_keys
from tests.support.api_server import BODY, client, key_for, serving
from tests.support.servers import Postgres, at, stopping

PASSWORD = "s5cret-w0rd"


@pytest.fixture(scope="module")
def own_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose settings and roles the tests change."""
    server = Postgres(tmp_path_factory.mktemp("own"))
    with stopping(server):
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
        yield server.url


@contextmanager
def changed(url: str, do: str, undo: str) -> Iterator[None]:
    """A change of the server, from the next connection on."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(do)
        try:
            yield
        finally:
            connection.execute(undo)


def as_guest(url: str, password: str = PASSWORD) -> str:
    place = urlsplit(url)
    return f"postgresql://guest:{password}@{place.hostname}:{place.port}{place.path}"


def nowhere(url: str) -> str:
    return url.replace(f":{urlsplit(url).port}", f":{free_port()}")


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "password": (lambda url: as_guest(url, "an0ther-w0rd"), "refuses the password"),
    "user": (lambda url: as_guest(url).replace("guest", "who"), "refuses the password"),
    "name": (lambda url: f"{as_guest(url)}2", "the database does not exist"),
    "host": (lambda url: as_guest(url).replace("127.0.0.1", "nowhere.invalid"), "the host name cannot be resolved"),
    "port": (lambda url: nowhere(as_guest(url)), "nothing accepts connections"),
    "TLS": (lambda url: f"{as_guest(url)}?sslmode=require", "do not agree about TLS"),
}


@pytest.mark.parametrize("case", WRONG)
def test_commands_and_processes_name_the_same_reason(
    own_url: str, settings: Settings, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, reason = WRONG[case]
    url = change(own_url)
    monkeypatch.setenv("DSNOT_DATABASE_URL", url)
    with pytest.raises(NotUsable, match=reason) as of_process:
        _check_database(at(settings, database_url=url))
    for command in (_list_keys, migrate):
        with pytest.raises(CommandFailed, match=reason) as of_command:
            command()
        assert str(of_process.value) in str(of_command.value)
        assert "w0rd" not in str(of_command.value)


def _list_keys() -> None:
    with the_database() as database:
        list_keys(database, "default")


def test_a_role_that_may_not_create_tables_is_told_so(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with changed(own_url, "CREATE DATABASE empty", "DROP DATABASE empty WITH (FORCE)"):
        monkeypatch.setenv("DSNOT_DATABASE_URL", as_guest(own_url).replace("/postgres", "/empty"))
        with pytest.raises(CommandFailed, match="the role lacks a privilege; grant it USAGE and CREATE"):
            migrate()
        with pytest.raises(CommandFailed, match="run `dsnot migrate`"):
            _list_keys()


def test_the_search_path_of_the_url_holds_for_migrations_and_commands(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with changed(own_url, "CREATE SCHEMA ours", "DROP SCHEMA ours CASCADE"):
        monkeypatch.setenv("DSNOT_DATABASE_URL", f"{own_url}?options=-csearch_path%3Dours")
        migrate()
        with the_database() as database:
            key_for(database, Scope.ADMIN)
        with psycopg.connect(own_url) as connection:
            assert connection.execute("SELECT count(*) FROM ours.api_keys").fetchone() == (1,)
            assert connection.execute("SELECT count(*) FROM public.api_keys").fetchone() == (0,)


def test_formats_and_isolation_of_the_server_do_not_matter(own_url: str) -> None:
    settings = ("datestyle TO 'German'", "timezone TO 'Asia/Kolkata'", "default_transaction_isolation TO 'serializable'")
    do, undo = ("; ".join(f"ALTER DATABASE postgres {verb}" for verb in verbs) for verbs in _verbs(settings))
    with changed(own_url, do, undo):
        database = Database(own_url)
        key_for(database, Scope.ADMIN, tenant="formats")
        (key,) = list_keys(database, "formats")
        assert key.created_at.tzname() == "UTC"
        with database.begin() as session:
            assert session.connection().exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
        database.close()


def _verbs(settings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    return [f"SET {setting}" for setting in settings], [f"RESET {setting.split()[0]}" for setting in settings]


def test_several_hosts_serve_pools_migrations_and_listeners(own_url: str) -> None:
    place = urlsplit(own_url)
    url = own_url.replace("@127.0.0.1:", f"@127.0.0.1:{free_port()},127.0.0.1:")
    schema.upgrade(f"{url}?target_session_attrs=read-write")
    database = Database(url)
    key_for(database, Scope.ADMIN, tenant="hosts")
    listener = EventListener(url)
    listener.wait(0, Event())
    with psycopg.connect(own_url) as connection:
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        assert connection.execute(listening).fetchone() == (1,), place.port
    listener.close()
    database.close()


def test_a_server_without_free_connections_is_answered_with_503(own_url: str, settings: Settings) -> None:
    database = Database(own_url)
    key = key_for(database, Scope.ADMIN)
    database.close()
    with psycopg.connect(own_url) as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
    full = changed(own_url, "ALTER ROLE guest CONNECTION LIMIT 0", "ALTER ROLE guest CONNECTION LIMIT -1")
    guest = serving(at(settings, database_url=as_guest(own_url)))
    with full, guest as url, client(url, key) as api, capture_logs() as logs:
        response = api.get("/v1/jobs")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert api.get("/readyz").status_code == 503
    assert any("no free connection" in str(entry.get("reason")) for entry in logs)


def test_a_server_that_has_become_read_only_is_not_ready(own_url: str, settings: Settings) -> None:
    database = Database(own_url)
    key = key_for(database, Scope.ADMIN)
    database.close()
    own = at(settings, database_url=own_url)
    with serving(own) as url, client(url, key) as api:
        assert api.get("/readyz").status_code == 200
        with _read_only(own_url):
            assert api.get("/readyz").json()["database"]["detail"].startswith("the database is read-only")
            assert api.post("/v1/jobs", json=BODY).status_code == 503
            with pytest.raises(NotUsable, match="read-only"):
                _check_database(own)
        assert api.post("/v1/jobs", json=BODY).status_code == 201


def test_connections_are_replaced_when_the_server_has_become_read_only(own_url: str) -> None:
    database = Database(own_url, pool_size=1)
    process = "SELECT pg_backend_pid()"
    with database.begin() as session:
        first = session.connection().exec_driver_sql(process).scalar_one()
    with _read_only(own_url):
        with pytest.raises(InternalError):
            key_for(database, Scope.ADMIN)
        with database.begin() as session:
            assert session.connection().exec_driver_sql(process).scalar_one() != first
    database.close()


@contextmanager
def _read_only(url: str) -> Iterator[None]:
    """As after a failover: sessions that are open become read-only, too."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        try:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("SELECT pg_sleep(0.2)")
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("SELECT pg_sleep(0.2)")
