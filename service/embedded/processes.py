"""Child processes of the embedded stack: each in its own session, logged to a file, and ended when the parent dies."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class ServerError(RuntimeError):
    """A process of the embedded stack cannot run; the message says why and what to do."""


@dataclass(frozen=True)
class Child:
    """A running child process. `stop_signal` requests a graceful shutdown."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        logs: Path,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> "Child":
        """Start `command`, which gets `stop_signal` when the parent dies; `prefix` is put before it, such as a change of user.

        Its own session shields it from the terminal's Ctrl-C, so that the stack decides the order of stopping. It inherits
        the descriptors that the parent made inheritable: the lock of the home.
        """
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*prefix, *_dies_with_parent(stop_signal), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                close_fds=False,
            )
        return cls(name, process, log, stop_signal)

    @property
    def exit_status(self) -> int | None:
        """Exit status; None while the process runs."""
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Send the stop signal and return; repeating it is harmless."""
        if self.exit_status is None:
            self.process.send_signal(self.stop_signal)

    def stop(self, seconds: float) -> None:
        """Send the stop signal; after `seconds`, or when the process has ended, kill what is left of its group."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its group lives as long as one of its members
        self.process.wait()

    def exit_report(self) -> str:
        """Return how the process ended, with the end of its log, for an error message."""
        return f"{self.how_it_ended()}; its log {self.log} ends:\n{self.last_lines()}"

    def how_it_ended(self) -> str:
        """Return the name and how the process ended."""
        return f"{self.name} {_how(self.process.returncode)}"

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def wait_until(ready: Callable[[], bool], child: Child, *, seconds: float) -> None:
    """Return once `ready()`; stop the child and raise ServerError if it ends before, or if it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if child.exit_status is not None:
            raise ServerError(child.exit_report())
        if time.monotonic() > deadline:
            child.stop(5)
            raise ServerError(
                f"{child.name} was not ready after {seconds:.0f} s; its log {child.log} ends:\n{child.last_lines()}"
            )
        time.sleep(0.05)


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _how(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _dies_with_parent(stop_signal: signal.Signals) -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"] if setpriv else []
