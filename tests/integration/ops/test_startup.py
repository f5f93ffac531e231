"""Starting service, dispatcher and worker where something is missing or wrong: one sentence; and the schema's rule."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from service.database import schema
from service.database.engine import Database
from service.database.schema import Revisions
from service.embedded.processes import free_port
from service.ops.startup import heed_hangup
from service.settings import Settings
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.servers import Postgres, Program, stopping, through
from tests.support.tcp_proxy import Wire
from tests.support.waiting import CEILING_SECONDS, eventually

PROGRAMS = {
    "service": ["service", "--port", "0"],
    "dispatcher": ["service.dispatcher"],
    "worker": ["worker"],
}


def start(program: str, values: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit status and the lines on standard error."""
    done = fork_server.run(PROGRAMS[program], values)
    return done.returncode, done.stderr.strip().splitlines()


def nowhere() -> str:
    return f"127.0.0.1:{free_port()}"


WRONG: dict[str, tuple[str, Callable[[], str], str]] = {
    "unreachable database": (
        "DSNOT_DATABASE_URL",
        lambda: f"postgresql://u:p4ssw0rd@{nowhere()}/d",
        "cannot be used: nothing accepts",
    ),
    "another kind of database": ("DSNOT_DATABASE_URL", lambda: "mysql://u:p4ssw0rd@localhost/d", "only postgresql is supported"),
    "no address of a database": ("DSNOT_DATABASE_URL", lambda: "p4ssw0rd", "is not a database URL"),
    "a placeholder": ("DSNOT_DATABASE_URL", lambda: "postgresql://dsnot:change-me@localhost/d", "placeholder"),
    "unreachable broker": ("DSNOT_BROKER_URL", lambda: f"redis://:p4ssw0rd@{nowhere()}/0", "cannot be used: nothing accepts"),
    "another kind of broker": ("DSNOT_BROKER_URL", lambda: "amqp://u:p4ssw0rd@localhost", "is not a URL such as redis"),
    "an artifact folder that cannot be": ("DSNOT_ARTIFACT_URL", lambda: "file:///proc/nowhere", "cannot be used"),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_setting_is_reported_in_one_sentence(settings: Settings, database: Database, program: str, case: str) -> None:
    variable, value, sentence = WRONG[case]
    status, lines = start(program, environment(settings) | {variable: value()})
    assert status != 0
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"dsnot {program}: {variable}")
    assert sentence in lines[0]
    assert "p4ssw0rd" not in lines[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_variable_is_named(settings: Settings, database: Database, program: str) -> None:
    values = {name: value for name, value in environment(settings).items() if name != "DSNOT_BROKER_URL"}
    status, lines = start(program, values)
    assert (status, lines) == (1, [f"dsnot {program}: DSNOT_BROKER_URL: is not set"])


def test_a_worker_names_a_cache_folder_that_it_cannot_create(settings: Settings, database: Database) -> None:
    status, lines = start("worker", environment(settings) | {"DSNOT_CACHE_DIR": "/proc/nowhere"})
    assert status == 1
    assert lines[0].startswith("dsnot worker: DSNOT_CACHE_DIR: /proc/nowhere cannot be created")


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read: No such file"), (b"no key", "is no private key in PEM")])
def test_a_worker_refuses_an_unusable_signing_key(
    settings: Settings, database: Database, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    key = tmp_path / "key.pem"
    if content is not None:
        key.write_bytes(content)
    status, lines = start("worker", environment(settings) | {"DSNOT_SIGNING_KEY": str(key)})
    assert status == 1
    assert lines[0].startswith(f"dsnot worker: DSNOT_SIGNING_KEY: {key} {reason}")


@pytest.mark.parametrize("program", ["service", "dispatcher"])
def test_a_reload_signal_is_ignored_without_a_terminal(
    settings: Settings, database: Database, tmp_path: Path, program: str
) -> None:
    with stopping(running := Program(settings, tmp_path / "log", *PROGRAMS[program])):
        eventually(lambda: "startup complete" in running.log.read_text() or "dispatcher_started" in running.log.read_text())
        running.process.send_signal(signal.SIGHUP)
        running.process.terminate()
        assert running.process.wait(CEILING_SECONDS) != -signal.SIGHUP


@pytest.mark.parametrize(("on_terminal", "stops"), [(True, [signal.SIGTERM]), (False, [])])
def test_a_closed_terminal_stops_what_runs_on_it(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool, stops: list[signal.Signals]
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: on_terminal)
    seen: list[int] = []
    before = [
        signal.signal(signal.SIGTERM, lambda number, _: seen.append(number)),
        signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores
    ]
    try:
        heed_hangup()
        signal.raise_signal(signal.SIGHUP)
        eventually(lambda: seen == stops)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)


def test_a_hanging_database_times_out(settings: Settings, database: Database) -> None:
    place = settings.database_url.get_secret_value()
    wire = Wire("127.0.0.1", urlsplit(place).port or 0)
    url = through(place, wire.port)
    with wire.silent():
        status, lines = start("dispatcher", environment(settings) | {"DSNOT_DATABASE_URL": url})
    wire.close()
    assert status == 1
    assert "DSNOT_DATABASE_URL" in lines[0]


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[str]:
    """With all migrations applied."""
    server = Postgres(tmp_path / "own")
    with stopping(server):
        yield server.url


def change(url: str, *statements: str) -> None:
    database = Database(url)
    with database.begin() as session:
        for statement in statements:
            session.execute(text(statement))
    database.close()


def test_an_incompatible_schema_is_refused_with_the_remedy(settings: Settings, own_database: str) -> None:
    values = environment(settings) | {"DSNOT_DATABASE_URL": own_database}
    change(own_database, "UPDATE alembic_version SET version_num = '0003'")
    assert "the database's schema is at 0003 and this version needs" in start("dispatcher", values)[1][0]
    assert "run `dsnot migrate`" in start("worker", values)[1][0]
    change(own_database, "UPDATE alembic_version SET version_num = '9999'", "UPDATE schema_serves SET oldest = '9998'")
    assert "no longer supports code" in start("service", values)[1][0]
    change(own_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    assert "has no tables yet; run `dsnot migrate`" in start("dispatcher", values)[1][0]


def test_the_migrate_command_upgrades_an_empty_database(own_database: str, settings: Settings) -> None:
    change(own_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    command = [sys.executable, "-m", "service.cli", "migrate"]
    values = environment(settings) | {"DSNOT_DATABASE_URL": own_database}
    both = [subprocess.Popen(command, env=values, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait(CEILING_SECONDS) for process in both] == [0, 0], "two at once"
    assert schema.revisions(own_database).problem is None


@pytest.mark.parametrize(
    ("current", "is_known", "oldest", "word"),
    [
        ("0005", True, "0001", None),
        ("0009", False, "0001", None),
        ("0009", False, "0005", None),
        ("0009", False, "0006", "no longer supports"),
        ("0009", False, None, "no longer supports"),
        ("0004", True, "0001", "dsnot migrate"),
        (None, False, None, "no tables"),
    ],
)
def test_a_newer_schema_serves_the_code_it_declares(
    current: str | None, is_known: bool, oldest: str | None, word: str | None
) -> None:
    problem = Revisions(current, "0005", is_known, oldest).problem
    assert problem is None if word is None else word in (problem or "")
