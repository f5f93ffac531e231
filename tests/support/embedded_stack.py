"""`dsnot` as a user runs it: in a process of its own, on a home of its own."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tests.support import fork_server
from tests.support.command_line import environment
from tests.support.fork_server import Forked
from tests.support.waiting import CEILING_SECONDS, eventually


def _appended() -> IO[bytes]:
    """A file that a program writes, which can be read without moving the place where it writes."""
    return TemporaryFile("a+b")


@dataclass(frozen=True)
class Starting:
    """A `dsnot up`, and what it writes."""

    process: "Forked | subprocess.Popen[bytes]"
    output: IO[bytes]
    errors: IO[bytes]

    def wait(self) -> tuple[int, str]:
        """Return its exit status and what it wrote to standard error, once it has ended."""
        status = self.process.wait(CEILING_SECONDS)
        return status, _read(self.errors)

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Send it a signal, and wait for it."""
        self.process.send_signal(how)
        return self.wait()

    def first_line(self) -> dict[str, Any]:
        """Return the document that says it is ready."""
        eventually(lambda: "\n" in _read(self.output) or self.process.poll() is not None)
        line = _read(self.output).partition("\n")[0]
        if not line:
            raise AssertionError(f"dsnot up ended with status {self.process.poll()}: {_read(self.errors)}")
        document: dict[str, Any] = json.loads(line)
        return document


@dataclass(frozen=True)
class Up(Starting):
    """A `dsnot up` that has said it is ready, and what it said."""

    home: Path
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def pids(self) -> dict[str, int]:
        return dict(self.said["processes"])

    def living(self) -> list[int]:
        """Its processes that are there still."""
        return [pid for pid in self.pids.values() if is_alive(pid)]


@contextmanager
def up(home: Path, *arguments: str, forks: bool = True) -> Iterator[Up]:
    """A stack that is ready; stopped at the end if it still runs.

    Its Python processes are forked from one that has imported everything, or executed by Python, as a user's are.
    """
    starting = start_up(home, *arguments, forks=forks)
    try:
        yield Up(starting.process, starting.output, starting.errors, home, starting.first_line())
    finally:
        if starting.process.poll() is None:
            starting.end(signal.SIGTERM)


def start_up(home: Path, *arguments: str, forks: bool = True) -> Starting:
    program = ["tests.support.forking"] if forks else []
    output, errors = _appended(), _appended()
    command = [*program, "service.cli", "up", "--json", *arguments]
    return Starting(fork_server.start(command, environment(home), output, errors), output, errors)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def is_alive(pid: int) -> bool:
    """Zombies, which wait for a parent that may never ask, do not count."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
