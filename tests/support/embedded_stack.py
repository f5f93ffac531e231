"""`dsnot` as a user runs it: in a process of its own, on a home of its own."""

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command_line import environment
from tests.support.waiting import CEILING_SECONDS


@dataclass(frozen=True)
class Up:
    """A `dsnot up` that has said it is ready, and what it said."""

    process: "subprocess.Popen[str]"
    home: Path
    said: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def pids(self) -> dict[str, int]:
        return dict(self.said["processes"])

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Send it a signal; its exit status and what it wrote to standard error."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=CEILING_SECONDS)
        return self.process.returncode, errors

    def living(self) -> list[int]:
        """Its processes that are there still."""
        return [pid for pid in self.pids.values() if is_alive(pid)]


@contextmanager
def up(home: Path, *arguments: str) -> Iterator[Up]:
    """A stack that is ready; stopped at the end if it still runs."""
    process = start_up(home, *arguments)
    try:
        yield Up(process, home, _first_line(process))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=CEILING_SECONDS)


def start_up(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "service.cli", "up", "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home))


def is_alive(pid: int) -> bool:
    """Zombies, which wait for a parent that may never ask, do not count."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _first_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The document that says it is ready."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda output=process.stdout: lines.put(output.readline()), daemon=True).start()
    line = lines.get(timeout=CEILING_SECONDS)
    if not line:
        _, errors = process.communicate(timeout=CEILING_SECONDS)
        raise AssertionError(f"dsnot up ended with status {process.returncode}: {errors}")
    document: dict[str, Any] = json.loads(line)
    return document
