"""The whole service on one machine: PostgreSQL, Valkey, the HTTP service, the dispatcher and workers, for one home.

    with running(home) as stack:      # every process is ready
        stack.wait_for_stop(...)      # until a stop is requested, or a server crashes

The processes are those of a production deployment, configured by the same environment variables.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service.database import schema
from service.embedded import devices, first_key, postgres, valkey
from service.embedded.lock import exclusive
from service.embedded.processes import Child, ServerError, wait_until
from service.embedded.record import API_KEY_FILE, StackRecord
from service.embedded.restarts import Restarts

PREFERRED_PORT = 8321

_SECONDS_TO_STOP = {"worker": 60.0, "dispatcher": 10.0, "service": 10.0, "valkey": 5.0, "postgres": 30.0}
"""Seconds to stop, in the order of stopping: the worker first, because it gives its job back through the others."""

_RESTARTED = frozenset({"worker", "dispatcher"})
"""Kinds of processes that are started again when they end; the stack stops without one of the others, its servers."""

Say = Callable[[str], None]


class ChildCrashed(ServerError):
    """A process that the stack cannot do without ended without a request to stop."""


@dataclass
class Stack:
    """Processes and paths of the stack on one home."""

    home: Path
    listener: socket.socket
    """Socket of the HTTP service, bound from the start, so that no other program can take the port or answer in its place."""
    devices: list[str]
    """DSNOT_DEVICE of each worker."""
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._port: int = self.listener.getsockname()[1]
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._urls = ("", "")
        self._crashed: dict[str, Child] = {}  # until they are started again

    @property
    def url(self) -> str:
        """Base URL of the HTTP service."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_key_file(self) -> Path:
        """File with the home's API key."""
        return self.home / API_KEY_FILE

    @property
    def model_root(self) -> Path:
        """Folder of the local models."""
        return self.home / "models"

    def wait_for_stop(self, asked: Callable[[], bool], say: Say = lambda _: None) -> None:
        """Wait until `asked()`; start workers and the dispatcher again when they end, because jobs survive their crashes.

        Raises:
            ChildCrashed: one of the servers ended.
        """
        restarts = Restarts(say)
        while not asked():
            for name in [name for name, child in self.children.items() if child.exit_status is not None]:
                self._crashed[name] = child = self.children.pop(name)
                child.stop(0)  # kills what is left of its group, now: later its pid may be another process's
                if name.partition("-")[0] not in _RESTARTED:
                    raise ChildCrashed(child.exit_report())
            for name in [name for name, child in self._crashed.items() if restarts.is_due(child)]:
                del self._crashed[name]
                self._start_python(name, *self._commands[name])
                self._write_record()
            time.sleep(0.2)

    def check(self) -> None:
        """Raise ChildCrashed if a process has ended."""
        for child in self.children.values():
            if child.exit_status is not None:
                raise ChildCrashed(child.exit_report())

    def start(self, say: Say, asked_to_stop: Callable[[], bool]) -> None:
        """Start the processes, each after the ones it depends on are ready; return early if `asked_to_stop()`."""
        say("starting PostgreSQL")
        self.children["postgres"], database_url = postgres.start(self.home)
        say("starting Valkey")
        self.children["valkey"], broker_url = valkey.start(self.home)
        say("migrating the database")
        schema.upgrade(database_url)
        first_key.ensure(database_url, self.api_key_file)
        if asked_to_stop():
            return
        say("starting service, dispatcher and worker")
        environment = self._environment(database_url, broker_url)
        self._start_service(environment)
        self._start_python("dispatcher", ["-m", "service.dispatcher"], environment)
        wait_until(lambda: asked_to_stop() or self._ready(), self.children["service"], seconds=60)
        if asked_to_stop():
            return
        for number, device in enumerate(self.devices, start=1):  # last: its imports would delay the service's by seconds
            name = "worker" if number == 1 else f"worker-{number}"
            self._start_python(name, ["-m", "worker"], _without_secret(environment) | {"DSNOT_DEVICE": device})
        self._urls = (database_url, broker_url)
        self._write_record()

    def stop(self, say: Say) -> None:
        """Stop all processes gracefully."""
        StackRecord.remove(self.home)
        self.listener.close()
        for kind, seconds in _SECONDS_TO_STOP.items():
            names = [name for name in self.children if name.partition("-")[0] == kind]
            for name in names:
                self.children[name].ask_to_stop()  # all workers at once: each takes a while to give its job back
            for name in names:
                say(f"stopping {name}")
                self.children.pop(name).stop(seconds)

    def _start_service(self, environment: dict[str, str]) -> None:
        """Pass the listener to the child, which inherits it, and close the parent's copy."""
        self.listener.set_inheritable(True)
        self._start_python("service", ["-m", "service", "--fd", str(self.listener.fileno())], environment)
        self.listener.close()

    def _write_record(self) -> None:
        processes = {name: child.process.pid for name, child in (self._crashed | self.children).items()}
        StackRecord(os.getpid(), self.url, *self._urls, processes).write(self.home)

    def _start_python(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self._commands[name] = (arguments, environment)
        self.children[name] = Child.start(name, [sys.executable, *arguments], self.home / "logs", environment=environment)

    def _ready(self) -> bool:
        self.check()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _environment(self, database_url: str, broker_url: str) -> dict[str, str]:
        other = ("DSNOT_DATABASE_DIRECT_URL", "DSNOT_METRICS_PORT")  # another database; one port for many processes
        inherited = {name: value for name, value in os.environ.items() if name not in other}
        return inherited | {
            "DSNOT_DATABASE_URL": database_url,
            "DSNOT_BROKER_URL": broker_url,
            "DSNOT_SECRET_KEY": os.environ.get("DSNOT_SECRET_KEY") or first_key.secret(self.home / "secret-key"),
            "DSNOT_PUBLIC_URL": os.environ.get("DSNOT_PUBLIC_URL") or self.url,
            **{f"DSNOT_{name.upper()}": value for name, value in places(self.home).items()},
            "DSNOT_LOG_FORMAT": os.environ.get("DSNOT_LOG_FORMAT", "text"),
            "PYTHONUNBUFFERED": "1",
        }


def _without_secret(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a worker, which reads untrusted models and signs no webhook."""
    return {name: value for name, value in environment.items() if name != "DSNOT_SECRET_KEY"}


def places(home: Path) -> dict[str, str]:
    """Return the paths of a stack's data outside its servers, by the names of the settings."""
    return {
        "artifact_url": (home / "artifacts").as_uri(),
        "model_root": str(home / "models"),
        "cache_dir": str(home / "cache"),
    }


@contextmanager
def running(
    home: Path,
    *,
    port: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    say: Say = lambda _: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Stack]:
    """Run a stack: yield it when it is ready, and stop it in any case. It is incomplete if stopped while it starts.

    Raises:
        AlreadyRunning: another stack is running on this home; it is not affected.
        ServerError: a process could not be started, or ended.
    """
    home = _prepare(home)
    with exclusive(home):
        (home / "postgres" / "postmaster.pid").unlink(missing_ok=True)  # by the lock, its server has ended; its pid may be reused
        stack = Stack(home, _listener(port), devices.for_workers(device, workers, say))
        try:
            stack.start(say, asked_to_stop)
            yield stack
        finally:
            stack.stop(say)


def _prepare(home: Path) -> Path:
    home = home.expanduser().absolute()
    try:
        # as root, PostgreSQL may have to run as another user, who must be able to pass through
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        for folder in ("artifacts", "models", "cache", "logs"):
            (home / folder).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ServerError(f"{home} cannot be used: {error.strerror}; name another folder with --home or DSNOT_HOME") from error
    return home.resolve()


def _listener(port: int | None) -> socket.socket:
    for candidate in (port,) if port else (PREFERRED_PORT, 0):
        try:
            listener = socket.create_server(("127.0.0.1", candidate), backlog=2048)
        except PermissionError as error:
            raise ServerError(f"port {candidate} may be opened by root only; use --port 1024 or higher") from error
        except OSError:
            continue
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # inherited by connections; uvicorn does not detect TCP here
        return listener
    raise ServerError(f"port {port} is in use by another program; leave --port out to take a free one")
