"""Servers that `benchmarks.service` measures: PostgreSQL and Valkey from their wheels, and the service, as child processes."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks._rows import TENANT
from service.contract.scopes import Scope
from service.database import schema
from service.database.engine import Database
from service.embedded import postgres, valkey
from service.embedded.processes import Child, wait_until
from service.tenants.keys.operations import create_key


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers, and an API key."""

    database_url: str
    url: str
    """Address of the service."""
    key: str
    """API key with every scope, of the tenant whose jobs `_rows` inserts."""


@contextmanager
def running(max_queued_jobs: int, processes: int) -> Iterator[Servers]:
    """Start servers with empty data, the service in `processes` processes, and stop them at the end. No worker runs."""
    with TemporaryDirectory(prefix="dsnot-benchmark-") as folder, ExitStack() as started:
        home = Path(folder)
        home.chmod(0o711)  # as root, PostgreSQL may have to run as another user, who must be able to pass through
        database, database_url = postgres.start(home)
        started.callback(database.stop, 30)
        broker, broker_url = valkey.start(home)
        started.callback(broker.stop, 5)
        schema.upgrade(database_url)
        service, url = _start_service(home, database_url, broker_url, max_queued_jobs, processes)
        started.callback(service.stop, 10)
        wait_until(lambda: _answers(url), service, seconds=60)
        yield Servers(database_url, url, _new_key(database_url))


def _start_service(home: Path, database_url: str, broker_url: str, max_queued_jobs: int, processes: int) -> tuple[Child, str]:
    """Start the service as `service.embedded.stack` does."""
    environment = os.environ | {
        "DSNOT_DATABASE_URL": database_url,
        "DSNOT_BROKER_URL": broker_url,
        "DSNOT_ARTIFACT_URL": (home / "artifacts").as_uri(),
        "DSNOT_MODEL_ROOT": str(home / "models"),
        "DSNOT_CACHE_DIR": str(home / "cache"),
        "DSNOT_MAX_QUEUED_JOBS": str(max_queued_jobs),
        "DSNOT_READS_PER_MINUTE": "0",
        "DSNOT_WRITES_PER_MINUTE": "0",
    }
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.set_inheritable(True)
        options = ["--fd", str(listener.fileno())]
        if processes > 1:
            options += ["--workers", str(processes)]
        command = [sys.executable, "-m", "service", *options]
        child = Child.start("service", command, home / "logs", environment=environment)
        return child, f"http://127.0.0.1:{listener.getsockname()[1]}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5).is_success
    except httpx.TransportError:
        return False


def _new_key(database_url: str) -> str:
    database = Database(database_url, pool_size=1)
    try:
        return create_key(database, tenant=TENANT, name="benchmark", scopes=[Scope.ADMIN])[1]
    finally:
        database.close()


def version_of_database(database: Database) -> str:
    """Return PostgreSQL's version."""
    with database.engine.connect() as connection:
        return ".".join(str(part) for part in connection.dialect.server_version_info or ())
