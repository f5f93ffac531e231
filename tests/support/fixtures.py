"""Real servers for the integration tests: started once, their data emptied before each test."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from service.contract.scopes import Scope
from service.database import schema
from service.database.engine import Base, Database
from service.embedded import postgres, valkey
from service.settings import Settings
from tests.support import mlflow as mlflow_server
from tests.support import swift
from tests.support.api_server import client, key_for, serving
from tests.support.browsing import browser, sign_in
from tests.support.mlflow import Mlflow
from tests.support.swift import S3


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server whose schema was built by the migrations; it never waits for the disk."""
    child, url = postgres.start(tmp_path_factory.mktemp("postgres-home"))
    schema.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    child.stop(10)


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    child, url = valkey.start(tmp_path_factory.mktemp("valkey-home"))
    yield url
    child.stop(10)


@pytest.fixture(scope="session")
def connected(database_url: str) -> Iterator[Database]:
    """The database, whose connections every test of a process uses."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def database(connected: Database) -> Database:
    """An empty database. DELETE takes less than a millisecond where TRUNCATE takes eighty: most tables are empty already."""
    tables = [
        table.name for table in reversed(Base.metadata.sorted_tables) if table.name not in ("schema_serves", "installation")
    ]
    with connected.engine.begin() as connection:
        connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in tables))  # noqa: S608
    return connected


@pytest.fixture
def broker(broker_url: str) -> Iterator["redis.Redis"]:
    """An empty broker."""
    client = redis.Redis.from_url(broker_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of the service and its workers."""
    home = tmp_path_factory.mktemp("home")
    return {name: home / name for name in ("artifacts", "models", "cache")}


@pytest.fixture
def settings(database: Database, database_url: str, broker: "redis.Redis", broker_url: str, folders: dict[str, Path]) -> Settings:
    """The same settings for every test: emptied servers, emptied folders, and everything periodic made quick."""
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return Settings.model_validate(
        {
            "database_url": database_url,
            "broker_url": broker_url,
            "broker_prefix": "",
            "artifact_url": folders["artifacts"].as_uri(),
            "model_root": folders["models"],
            "cache_dir": folders["cache"],
            "device": "cpu",
            "hub_from_service": False,
            "reads_per_minute": 0,
            "writes_per_minute": 0,
            "secret_key": "a secret of the tests, which is long enough",
            "lease_seconds": 60.0,
            "heartbeat_seconds": 0.5,
            "dispatch_seconds": 0.5,
            "resend_seconds": 1.0,
            "retry_seconds": 0.2,
            "model_check_seconds": 0.0,
        }
    )


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A Swift server."""
    with swift.running(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """An MLflow server."""
    with mlflow_server.running(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and the environment that leads to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3.new_bucket()


@pytest.fixture
def s3_settings(settings: Settings, bucket: str) -> Settings:
    """The same settings, with the artifacts in the bucket; a store that is away is given up within seconds."""
    changes = {"artifact_url": f"s3://{bucket}/below/here", "store_timeout_seconds": 2.0, "store_retry_seconds": 3.0}
    return settings.model_copy(update=changes)


class Standing:
    """HTTP service that is reused while the settings stay the same, because a new one has to compile its routes."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._address = ""
        self._open = ExitStack()

    def address(self, settings: Settings) -> str:
        if settings != self._settings:
            self.stop()
            self._address, self._settings = self._open.enter_context(serving(settings)), settings
        return self._address

    def stop(self) -> None:
        self._settings = None
        self._open.close()


@pytest.fixture(scope="session")
def standing(database_url: str, broker_url: str) -> Iterator[Standing]:
    """The servers are arguments so that it stops before they do."""
    service = Standing()
    yield service
    service.stop()


@pytest.fixture
def url(settings: Settings, standing: Standing) -> str:
    """Where a service answers."""
    return standing.address(settings)


@pytest.fixture
def api(url: str, database: Database) -> Iterator[httpx.Client]:
    """A client of it, with a key of the tenant `acme` that may do everything."""
    with client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


@pytest.fixture
def visitor(url: str, database: Database) -> Iterator[httpx.Client]:
    """A browser in which somebody has signed in with such a key."""
    with browser(url) as opened:
        assert sign_in(opened, key_for(database, Scope.ADMIN)).status_code == 303
        yield opened
