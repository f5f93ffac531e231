"""`python -m tests.support.forking PROGRAM …`: a program whose `python -m` child processes are forks of it.

The fork server starts it with everything imported, so that its children begin at once.
Descriptors, session, signals and the signal at the parent's death are those of an executed child; /proc/PID/environ is not.
"""

import ctypes
import os
import signal
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.support.fork_server import become

_SET_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class ForkingPopen(subprocess.Popen[Any]):
    """Popen that forks for `python -m`, also below `setpriv --pdeathsig`, and executes any other command."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        execute = super()._execute_child  # type: ignore[misc]
        given = signature(execute).bind(args, *more).arguments
        command = list(args) if isinstance(args, list | tuple) else []
        if [sys.executable, "-m"] not in (command[:2], command[4:6]):
            execute(args, *more)
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run(command, given)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[end] for end in ends))  # type: ignore[attr-defined]


def _run(command: list[str], given: dict[str, Any]) -> NoReturn:
    """Run the program in this child as if it had been executed."""
    if given["start_new_session"]:
        os.setsid()
    for number, end in enumerate(("p2cread", "c2pwrite", "errwrite")):
        if given[end] != -1:
            os.dup2(given[end], number)
    for descriptor in _descriptors():
        if descriptor > 2 and (given["close_fds"] or not os.get_inheritable(descriptor)):
            os.close(descriptor)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if command[1] == "--pdeathsig":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.Signals[f"SIG{command[2]}"].value)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    become(command[command.index("-m") + 1 :], dict(os.environ if given["env"] is None else given["env"]), given["cwd"] or ".")


def _descriptors() -> list[int]:
    """Return the open descriptors; the one that reads the folder is closed again."""
    found = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    return [descriptor for descriptor in found if Path(f"/proc/self/fd/{descriptor}").exists()]


if __name__ == "__main__":
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    become(sys.argv[1:], dict(os.environ), ".")
