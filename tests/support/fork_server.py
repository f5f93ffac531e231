"""Fork server: starts Python programs from a process that has already imported torch, transformers and our own modules.

The argument of this module is the file descriptor of the request socket.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from tests.support.waiting import CEILING_SECONDS

IMPORTED: Final = (
    "torch._dynamo",
    "transformers.conversion_mapping",
    "transformers.generation.utils",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "kombu.transport.redis",
    "sqlalchemy.orm",
    "sqlalchemy.dialects.postgresql.psycopg",
    "fastapi",
    "uvicorn",
    "jinja2",
    "obstore",
    "huggingface_hub",
    "opentelemetry.sdk.trace",
    "structlog.dev",
    "httpx",
    "pydantic_settings",
    "typer",
    "service.cli.__main__",
    "service.client",
    "service.dispatcher.loop",
    "service.main",
    "worker.app",
    "worker.engine",
    "worker.evaluation.agreement",
    "worker.inputs.models",
    "worker.publishing.formats",
)
_READ_AT_IMPORT: Final = ("PYTHON", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "OMP_", "MKL_", "TORCH_", "CUDA_")
_SET_BY_LM_EVAL: Final = "HF_XET_HIGH_PERFORMANCE"
"""Set by the import of lm_eval in the middle of a run; it has no effect on the tests."""
_READ_BY_THE_HUB: Final = ("HF_ENDPOINT", "HF_HOME", "HF_TOKEN")
"""Read at import by `huggingface_hub.constants` alone, which a child imports again if they differ."""
_ENVIRONMENT: Final = dict(os.environ)
"""Environment before any test changes it."""
_REQUEST_BYTES: Final = 1 << 20


class Forked:
    """Handle of a forked program, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(32))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._connection.recv(32))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[str], environment: Mapping[str, str], output: IO[bytes], errors: IO[bytes] | None = None, given: str = ""
) -> "Forked | subprocess.Popen[bytes]":
    """Start `python -m ARGUMENTS`: forked, or by Python itself if the environment differs in what packages read at import.

    `errors`: standard error, by default to `output` as well; `given`: the text on standard input.
    """
    errors = errors or output
    with tempfile.TemporaryFile() as source:
        source.write(given.encode())
        source.seek(0)
        if _read_at_import(environment) != _read_at_import(_ENVIRONMENT):
            command = [sys.executable, "-m", *arguments]
            return subprocess.Popen(command, env=environment, stdin=source, stdout=output, stderr=errors)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd())})
        files = [theirs.fileno(), source.fileno(), output.fileno(), errors.fileno()]
        socket.send_fds(_server(), [request.encode()], files)
        theirs.close()
        return Forked(ours)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], given: str = "", timeout: float = CEILING_SECONDS
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m ARGUMENTS` to its end, started as by `start`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(arguments, environment, output, errors, given)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(list(arguments), status, output.read().decode(), errors.read().decode())


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    names = {name for name in environment if name.startswith(_READ_AT_IMPORT)} - {_SET_BY_LM_EVAL, *_READ_BY_THE_HUB}
    return {name: environment[name] for name in names}


@cache
def _server() -> socket.socket:
    """Start the server of this process, which ends with it, and return its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
    command = [sys.executable, "-m", __name__, str(theirs.fileno())]
    subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_ENVIRONMENT, stdin=subprocess.DEVNULL)
    theirs.close()
    return ours


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork a child for each request; return in the child what it has to run, and None in the server when its client is gone."""
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                pid, connection = key.data
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):  # nobody waits for it
                    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()
                continue
            request, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
            if not request:
                return None
            connection, streams = socket.socket(fileno=files[0]), files[1:]
            if (pid := os.fork()) == 0:
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                os.closerange(3, 256)
                return json.loads(request)  # type: ignore[no-any-return]
            for stream in streams:
                os.close(stream)
            connection.send(str(pid).encode())
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))


def become(arguments: list[str], environment: dict[str, str], folder: str) -> NoReturn:
    """Run the program, and end without taking hundreds of megabytes of modules apart."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if any(environment.get(name) != _ENVIRONMENT.get(name) for name in _READ_BY_THE_HUB):
        importlib.reload(importlib.import_module("huggingface_hub.constants"))
    sys.argv = arguments
    sys.modules.pop(f"{arguments[0]}.__main__", None)  # so that the program runs it again
    status: object = None
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if not isinstance(status, int | None):
        sys.stderr.write(f"{status}\n")
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    mine = _serve(socket.socket(fileno=int(sys.argv[1])))
    if mine is not None:
        become(**mine)
