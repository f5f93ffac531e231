"""Real workers and dispatchers as processes of their own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from service.embedded.processes import free_port
from service.settings import Settings
from tests.support import fork_server
from tests.support.api_server import client, wait_for
from tests.support.child_environment import environment
from tests.support.fork_server import Forked
from tests.support.waiting import CEILING_SECONDS, eventually


@dataclass(frozen=True)
class Worker:
    """`python -m worker`: a parent that talks to the broker, and its child that does the work."""

    process: "Forked | subprocess.Popen[bytes]"
    log: Path

    @property
    def is_ready(self) -> bool:
        return b"worker_ready" in self.log.read_bytes()

    def child(self) -> psutil.Process:
        """The process that runs jobs."""
        parent = psutil.Process(self.process.pid)
        living = [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
        spawned = [child for child in living if "spawn_main" in " ".join(child.cmdline())]
        forked = [child for child in living if child.cmdline() == parent.cmdline()]
        (found,) = spawned or forked
        return found

    def family(self) -> list[psutil.Process]:
        """All its processes."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def starting(settings: Settings, folder: Path, name: str = "worker") -> Iterator[Worker]:
    """A worker that has just been started."""
    with _running("worker", settings, folder / f"{name}.log") as (process, log):
        yield Worker(process, log)


@contextmanager
def working(settings: Settings, folder: Path, name: str = "worker", module: str = "worker") -> Iterator[Worker]:
    """A worker, ready to start a job at once."""
    with _running(module, settings, folder / f"{name}.log") as (process, log):
        worker = Worker(process, log)
        eventually(lambda: worker.is_ready)
        yield worker


@contextmanager
def dispatching(settings: Settings, folder: Path) -> "Iterator[Forked | subprocess.Popen[bytes]]":
    with _running("service.dispatcher", settings, folder / "dispatcher.log") as (process, _):
        yield process


@contextmanager
def answering(settings: Settings, folder: Path, key: str) -> "Iterator[tuple[Forked | subprocess.Popen[bytes], httpx.Client]]":
    """The HTTP service, ready to answer, and a client of it."""
    port = free_port()
    with (
        _running("service", settings, folder / "service.log", "--port", str(port)) as (process, _),
        client(f"http://127.0.0.1:{port}", key) as api,
    ):
        wait_for(api)
        yield process, api


@contextmanager
def _running(
    module: str, settings: Settings, log: Path, *arguments: str
) -> "Iterator[tuple[Forked | subprocess.Popen[bytes], Path]]":
    with log.open("wb") as output:
        process = fork_server.start((module, *arguments), environment(settings), output)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(CEILING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
