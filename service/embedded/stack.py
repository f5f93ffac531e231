"""The whole service on one machine: PostgreSQL, Valkey, the HTTP service, the dispatcher and workers, all for one home.

    with running(home) as stack:      # everything answers now
        stack.wait_for_stop(...)      # until somebody asks, or a part crashes

The parts are the ones of a production installation, found through the same environment variables.
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

PREFERRED_PORT = 8321

_SECONDS_TO_STOP = {"worker": 60.0, "dispatcher": 10.0, "service": 10.0, "valkey": 5.0, "postgres": 30.0}
"""In the order of stopping: the worker first, because it gives its job back through the others."""

Say = Callable[[str], None]


class ChildCrashed(ServerError):
    """A part of the stack ended although nobody asked it to."""


@dataclass
class Stack:
    """What runs on one home."""

    home: Path
    listener: socket.socket
    """The HTTP service's: bound from the beginning, so that no other program can take the port or answer in its place."""
    devices: list[str]
    """One for each worker."""
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._port: int = self.listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_key_file(self) -> Path:
        return self.home / API_KEY_FILE

    @property
    def model_root(self) -> Path:
        return self.home / "models"

    def wait_for_stop(self, asked: Callable[[], bool]) -> None:
        """Return once `asked()`.

        Raises:
            ChildCrashed: a part ended before.
        """
        while not asked():
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Raise ChildCrashed if a part has ended."""
        for child in self.children.values():
            if child.exit_status is not None:
                raise ChildCrashed(child.obituary())

    def start(self, say: Say, asked_to_stop: Callable[[], bool]) -> None:
        """Start part after part, each once the one it needs answers; stop short if asked to."""
        say("starting PostgreSQL")
        self.children["postgres"], database_url = postgres.start(self.home)
        say("starting Valkey")
        self.children["valkey"], broker_url = valkey.start(self.home)
        say("bringing the database up to date")
        schema.upgrade(database_url)
        first_key.ensure(database_url, self.api_key_file)
        if asked_to_stop():
            return
        say("starting service, dispatcher and worker")
        environment = self._environment(database_url, broker_url)
        self._start_service(environment)
        self._start_python("dispatcher", ["-m", "service.dispatcher"], environment)
        for number, device in enumerate(self.devices, start=1):
            name = "worker" if number == 1 else f"worker-{number}"
            self._start_python(name, ["-m", "worker"], environment | {"DSNOT_DEVICE": device})
        wait_until(lambda: asked_to_stop() or self._ready(), self.children["service"], seconds=60)
        processes = {name: child.process.pid for name, child in self.children.items()}
        StackRecord(os.getpid(), self.url, database_url, broker_url, processes).write(self.home)

    def stop(self, say: Say) -> None:
        """Stop in good order."""
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
        """Hand the listener over: the child inherits it, and we let go of it."""
        self.listener.set_inheritable(True)
        descriptor = ("--fd", str(self.listener.fileno()))
        options = ("--factory", *descriptor, "--no-access-log", "--timeout-graceful-shutdown", "5")
        self._start_python("service", ["-m", "uvicorn", "service.main:create_app", *options], environment)
        self.listener.close()

    def _start_python(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.children[name] = Child.start(name, [sys.executable, *arguments], self.home / "logs", environment=environment)

    def _ready(self) -> bool:
        self.check()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _environment(self, database_url: str, broker_url: str) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if name != "DSNOT_METRICS_PORT"
        }  # one port, many processes
        return inherited | {
            "DSNOT_DATABASE_URL": database_url,
            "DSNOT_BROKER_URL": broker_url,
            "DSNOT_SECRET_KEY": os.environ.get("DSNOT_SECRET_KEY") or first_key.secret(self.home / "secret-key"),
            **{f"DSNOT_{name.upper()}": value for name, value in places(self.home).items()},
            "DSNOT_LOG_FORMAT": os.environ.get("DSNOT_LOG_FORMAT", "text"),
            "PYTHONUNBUFFERED": "1",
        }


def places(home: Path) -> dict[str, str]:
    """Where a stack keeps what is not in its servers: settings by their names."""
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
    """A stack that is ready, and stopped at the end whatever happens. If asked to stop while it starts, it is not all there.

    Raises:
        AlreadyRunning: another stack has this home; it is unharmed.
        ServerError: a part could not be started, or ended.
    """
    home = _prepare(home)
    with exclusive(home):
        (home / "postgres" / "postmaster.pid").unlink(missing_ok=True)  # by the lock, its server is gone; its number may live on
        stack = Stack(home, _listener(port), devices.for_workers(device, workers))
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
        except OSError:
            continue
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # connections inherit it; uvicorn does not see that this is TCP
        return listener
    raise ServerError(f"port {port} is in use by another program; leave --port out to take a free one")
