"""Servers that a test may stop, kill and start again: each keeps its address."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from service.database import schema
from service.embedded import postgres, valkey
from service.embedded.processes import free_port
from service.settings import Settings
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.fork_server import Forked
from tests.support.waiting import CEILING_SECONDS, eventually


class Postgres:
    """A PostgreSQL with the service's tables."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._child, self.url = postgres.start(home)
        self.port = urlsplit(self.url).port
        schema.upgrade(self.url)

    def stop(self) -> None:
        self._child.stop(20)

    def start(self) -> None:
        (self._home / "postgres" / "postmaster.pid").unlink(missing_ok=True)
        self._child, _ = postgres.start(self._home, self.port)

    def restart(self) -> None:
        self.stop()
        self.start()


class Valkey:
    """A broker that forgets everything when it is stopped."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._child, self.url = valkey.start(home)
        self._place = urlsplit(self.url)

    def kill(self) -> None:
        self._child.process.kill()
        self._child.process.wait()

    def start(self) -> None:
        self._child, _ = valkey.start(self._home, self._place.port, self._place.password)

    def stop(self) -> None:
        self._child.stop(5)


class Program:
    """One of our own processes, `python -m …`."""

    def __init__(self, settings: Settings, log: Path, *arguments: str) -> None:
        self._settings = settings
        self._arguments = arguments
        self.log = log
        self.process = self._started()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        self.process = self._started()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(CEILING_SECONDS)

    def _started(self) -> "Forked | subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return fork_server.start(self._arguments, environment(self._settings), output)


class Api(Program):
    """The HTTP service, at an address that stays the same."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(settings, folder / "service.log", "service", "--port", str(port))
        eventually(self._is_alive)

    def start(self) -> None:
        super().start()
        eventually(self._is_alive)

    def _is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/livez", timeout=5, verify=False).is_success  # noqa: S501
        except httpx.TransportError:
            return False


def at(settings: Settings, **urls: str) -> Settings:
    """The same settings with other addresses of servers."""
    return Settings.model_validate(
        settings.model_dump()
        | {"database_url": settings.database_url.get_secret_value(), "broker_url": settings.broker_url.get_secret_value()}
        | urls
    )


def through(url: str, port: int) -> str:
    """The address of a server as it is behind a wire."""
    place = urlsplit(url)
    return url.replace(f":{place.port}", f":{port}")


@contextmanager
def stopping(server: Postgres | Valkey | Program) -> Iterator[None]:
    """Stop it at the end, if it still runs."""
    try:
        yield
    finally:
        server.stop()
