"""One stack per home: an exclusive file lock that the stack's children inherit.

The kernel releases it when the last process that inherited it has ended. After a stack was killed, the next one therefore knows
how long to wait for the remaining processes, and no recorded process id has to be trusted.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from service.embedded.processes import ServerError
from service.embedded.record import StackRecord

_PATIENCE = 60.0
"""Seconds for the remaining processes of a killed stack to end by themselves; its worker may be finishing a block."""


class AlreadyRunning(ServerError):
    """Another stack is running on this home; it is not affected."""

    def __init__(self, home: Path, pid: int) -> None:
        record = StackRecord.read(home)
        where = f" at {record.url}" if record and record.pid == pid else ", which is starting up"
        super().__init__(f"process {pid} already runs a stack on {home}{where}; stop that one first, or use another --home")


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Hold the home's lock.

    Raises:
        AlreadyRunning: another stack holds it.
        ServerError: the remaining processes of a killed stack do not end.
    """
    with _open(home) as file:
        if not _take(file):
            owner = _owner(file)
            if owner and _holds(owner, home / "lock"):
                raise AlreadyRunning(home, owner)
            _outlast(file, home / "lock")
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        os.set_inheritable(file.fileno(), True)
        yield


def in_use(home: Path) -> bool:
    """Return whether a stack, or a remaining process of one, holds this home."""
    try:
        with (home / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def owner_of(home: Path) -> int | None:
    """Return the process that runs the stack on this home; None if there is none, or only remaining processes of a killed one."""
    try:
        with (home / "lock").open() as file:
            owner = _owner(file)
    except OSError:
        return None
    return owner if owner and _holds(owner, home / "lock") else None


def _open(home: Path) -> TextIO:
    try:
        return os.fdopen(os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    except PermissionError as error:
        raise ServerError(f"{home} belongs to another user; name a folder of your own with --home or DSNOT_HOME") from error


def _take(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(file: TextIO) -> int | None:
    text = file.read()
    return int(text) if text.isdigit() else None


def _outlast(file: TextIO, lock: Path) -> None:
    """Take the lock once the processes of a killed stack are gone; end those that take too long."""
    deadline = time.monotonic() + _PATIENCE
    while not _take(file):
        if time.monotonic() > deadline + 10:
            raise ServerError(f"processes of an earlier stack do not end: {_holders(lock)}; end them and start again")
        if time.monotonic() > deadline:
            for pid in _holders(lock):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _holders(lock: Path) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and _holds(pid, lock)]


def _holds(pid: int, lock: Path) -> bool:
    if not Path("/proc/self/fd").exists():  # not Linux: trust the process id in the file
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    with suppress(OSError):
        return any(os.path.realpath(entry) == str(lock.resolve()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False
