"""Functions on files of untrusted models, run in a forked child with limits on memory and processor time.

The libraries that read configs, tokenizers and GGUF files trust them: a file of a few bytes can take any time and memory, or end
the process. In a child that is a failure of the job with a reason; the attempt keeps its process and its lease.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from os import _exit
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from service.contract.failures import Failure, FailureCode
from service.kit.quantities import gib
from worker.failures import JobFailure, as_failure
from worker.process.forking import NO_FORK

Result = TypeVar("Result")

_PR_SET_PDEATHSIG: Final = 1
_HANGING: Final = 10
"""Time limit of a child as a multiple of its processor time: beyond, it waits for something, which is no fault of the model."""


@dataclass(frozen=True)
class Limits:
    """Limits of a child: memory in addition to its parent's, in bytes, and processor time."""

    memory: int = 4 << 30
    seconds: int = 300


def run_limited(act: Callable[[], Result], subject: str, code: FailureCode, limits: Limits = Limits()) -> Result:
    """Return the result of `act`, run in a forked child. It must be picklable, and `act` must not use the device.

    Args:
        subject: what is read, as the subject of an error's sentence, such as "The model's tokenizer".
        code: the failure's code if reading it exceeds the limits, crashes or raises an unexpected exception.

    Raises:
        JobFailure: as `act`, or with `code`; `out-of-host-memory`: the host's memory ran out below the limit.
    """
    with NO_FORK:  # a child of another thread would hold the pipe open
        receiving, sending = multiprocessing.Pipe(duplex=False)
        child = _fork(partial(_report, sending, act, limits, os.getpid()))
        sending.close()
    status: int | None = None
    try:
        if not receiving.poll(_HANGING * limits.seconds):
            raise JobFailure(FailureCode.INTERNAL, f"{subject} was not read within {_HANGING * limits.seconds} s.")
        result, trouble = receiving.recv()
    except (EOFError, OSError):  # the child has ended, perhaps in the middle of its answer
        status = _wait(child)
        raise _death(status, subject, code, limits) from None
    finally:
        if status is None:
            os.kill(child, signal.SIGKILL)
            _wait(child)
        receiving.close()
    if trouble is None:
        return result  # type: ignore[no-any-return]
    raise _refusal(trouble, subject, code, limits) from _ChildTrace(trouble.trace)


def _fork(act: Callable[[], None]) -> int:
    """Return the id of a child that calls `act`. Not a `multiprocessing.Process`, which a worker's spawned child may not have."""
    child = os.fork()
    if child:
        return child
    try:
        act()
    except BaseException:
        _exit(1)
    _exit(0)


def _wait(child: int) -> int:
    """Return the exit status of an ended child; if a signal ended it, the negative number of that signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class _ChildTrace(Exception):
    """Traceback of a child, as the cause of its failure for the log."""


@dataclass(frozen=True)
class _Trouble:
    """Exception of a child."""

    failure: Failure
    kind: str
    trace: str
    is_of_system: bool


def _report(sending: Connection, act: Callable[[], Any], limits: Limits, parent: int) -> None:
    """Confine this process, and send the result of `act` or its exception."""
    _confine(limits, parent)
    answer: tuple[Any, _Trouble | None]
    try:
        answer = act(), None
    except BaseException as error:  # the panics of Rust libraries are no Exception
        trace = "".join(traceback.format_exception(error))
        answer = None, _Trouble(as_failure(error), type(error).__name__, trace, isinstance(error, OSError))
    sending.send(answer)


def _confine(limits: Limits, parent: int) -> None:
    """Set the limits; end with the parent, and before it if the host's memory runs out; compute in one thread."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        _exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, taken + limits.memory),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a fork has none of its parent's threads and would wait for them
    torch.set_num_threads(1)


def _refusal(trouble: _Trouble, subject: str, code: FailureCode, limits: Limits) -> JobFailure:
    failure = trouble.failure
    if failure.code is FailureCode.OUT_OF_HOST_MEMORY:
        return JobFailure(code, f"{subject} takes more than {gib(limits.memory)} of memory to read.")
    if failure.code is FailureCode.INTERNAL and not trouble.is_of_system:
        return JobFailure(code, f"{subject} cannot be read ({trouble.kind}).")
    return JobFailure(failure.code, failure.detail)


def _death(status: int, subject: str, code: FailureCode, limits: Limits) -> JobFailure:
    """Return the failure for a child that has ended without an answer."""
    if status == -signal.SIGKILL:
        return JobFailure(FailureCode.OUT_OF_HOST_MEMORY, f"The worker's host ran out of memory. {subject} was being read.")
    if status == -signal.SIGXCPU:
        return JobFailure(code, f"{subject} takes more than {limits.seconds} s of processor time to read.")
    cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return JobFailure(code, f"{subject} cannot be read: it makes its reader crash ({cause}).")
