"""Real workers and dispatchers as processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.settings import Settings
from tests.support.child_environment import environment
from tests.support.waiting import CEILING_SECONDS, eventually


@dataclass(frozen=True)
class Worker:
    """`python -m worker`: a parent that talks to the broker, and its child that does the work."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def is_ready(self) -> bool:
        return b"worker_ready" in self.log.read_bytes()

    def child(self) -> psutil.Process:
        """The process that runs jobs."""
        children = psutil.Process(self.process.pid).children()
        living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        (found,) = [child for child in living if "spawn_main" in " ".join(child.cmdline())]
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
def working(settings: Settings, folder: Path, name: str = "worker") -> Iterator[Worker]:
    """A worker, ready to start a job at once."""
    with starting(settings, folder, name) as worker:
        eventually(lambda: worker.is_ready)
        yield worker


@contextmanager
def dispatching(settings: Settings, folder: Path) -> Iterator[None]:
    with _running("service.dispatcher", settings, folder / "dispatcher.log"):
        yield


@contextmanager
def _running(module: str, settings: Settings, log: Path) -> "Iterator[tuple[subprocess.Popen[bytes], Path]]":
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", module], env=environment(settings), stdout=output, stderr=output)
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
