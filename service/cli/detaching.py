"""Start of a stack that outlives the command and its terminal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from service.cli.output import CommandFailed, note, printable
from service.embedded.lock import AlreadyRunning, in_use, owner_of
from service.embedded.processes import ServerError
from service.embedded.record import StackRecord

STACK_LOG: Final = "stack.log"
"""Log of the detached `dsnot up` itself, beside those of its processes."""  # style: allow
_SECONDS: Final = 600.0
"""Time for the start; migrations of a large database take the longest."""
_POLL_SECONDS: Final = 0.1


def start_detached(home: Path, *, port: int | None, device: str, workers: int | None) -> StackRecord:
    """Start `dsnot up` in a session of its own, and return its record when it is ready. Progress goes to standard error.

    Raises:
        AlreadyRunning: another stack is running on this home.
        CommandFailed: it ended before it was ready.
        ServerError: the home cannot be used, or the stack was not ready in time.
        KeyboardInterrupt: the stack that was starting has been stopped.
    """
    if owner := owner_of(home):
        raise AlreadyRunning(home, owner)
    log = _new_log(home)
    begin = log.stat().st_size
    command = [sys.executable, "-m", "service.cli", "up", "--home", str(home), "--device", device]
    command += ["--port", str(port)] if port else []
    command += ["--workers", str(workers)] if workers else []
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return _ready(process, home, log, begin)
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        raise


def _new_log(home: Path) -> Path:
    """Return the path of the log, once that of the last start is kept under another name."""
    log = home / "logs" / STACK_LOG
    try:
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        if log.exists() and not in_use(home):
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
    except OSError as error:
        raise ServerError(f"{home} cannot be used: {error.strerror}; name another folder with --home or DSNOT_HOME") from error
    return log


def _ready(process: "subprocess.Popen[bytes]", home: Path, log: Path, begin: int) -> StackRecord:
    """Return the record of the stack when it is ready; meanwhile show the lines of the log from the byte `begin` on."""
    shown, deadline = 0, time.monotonic() + _SECONDS
    while True:
        record = StackRecord.read(home)
        if record and record.pid == process.pid:
            return record
        lines = log.read_bytes()[begin:].decode(errors="replace").splitlines()
        if process.poll() is not None:
            reason = "\n".join(lines[shown:]).removeprefix("dsnot: ") or f"dsnot up ended with status {process.returncode}"
            raise CommandFailed(printable(reason))
        for line in lines[shown:-1]:
            note(line)
        shown = max(shown, len(lines) - 1)
        if time.monotonic() > deadline:
            raise ServerError(f"the stack was not ready after {_SECONDS:.0f} s; its log is {log}")
        time.sleep(_POLL_SECONDS)
