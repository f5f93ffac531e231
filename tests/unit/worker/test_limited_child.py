"""Functions in a child: results, failures, limits and deaths arrive as such."""

import errno
import faulthandler
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
import torch

from service.contract.failures import FailureCode
from tests.support import checkpoints
from tests.support.waiting import eventually
from worker.engine import outline
from worker.engine.errors import ArchitectureUnsupported
from worker.failures import JobFailure
from worker.process.limited_child import Limits, run_limited

REFUSED = FailureCode.MODEL_UNSAFE


def failure_of(act: Callable[[], Any], **limits: int) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        run_limited(act, "The file", REFUSED, Limits(**limits))
    return caught.value


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def act() -> NoReturn:
        raise error

    return act


class Panic(BaseException):
    """Like pyo3's PanicException, no Exception."""


def test_a_result_of_any_size_arrives() -> None:
    assert run_limited(lambda: (os.getpid(), "x" * (1 << 20)), "The file", REFUSED) != (os.getpid(), "x" * (1 << 20))
    assert run_limited(lambda: b"x" * (1 << 20), "The file", REFUSED) == b"x" * (1 << 20)


def test_the_parent_s_threads_do_not_block_the_child() -> None:
    values = torch.rand(1 << 22)  # large enough for several threads
    assert run_limited(lambda: float(values.max()), "The file", REFUSED) == float(values.max())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ArchitectureUnsupported("x"), FailureCode.ARCHITECTURE_UNSUPPORTED),
        (JobFailure(FailureCode.INVALID_REQUEST, "x"), FailureCode.INVALID_REQUEST),
        (Panic("secret"), REFUSED),
        (KeyError("secret"), REFUSED),
        (SystemExit(0), REFUSED),
        (OSError(errno.EIO, "secret"), FailureCode.INTERNAL),
    ],
)
def test_errors_keep_their_code_and_unexpected_ones_are_the_model_s(error: BaseException, code: FailureCode) -> None:
    failure = failure_of(raising(error))
    assert failure.code is code
    assert "secret" not in failure.detail


def test_memory_is_limited_above_the_parent_s() -> None:
    failure = failure_of(lambda: len(bytearray(1 << 30)), memory=1 << 28)
    assert (failure.code, "0.2 GiB of memory" in failure.detail) == (REFUSED, True)


def test_a_config_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_labels": 10**8}))
    assert "memory" in failure_of(partial(outline, folder), memory=1 << 27).detail


def test_processor_time_is_limited() -> None:
    def forever() -> NoReturn:
        while True:
            pass

    failure = failure_of(forever, seconds=1)
    assert (failure.code, "1 s of processor time" in failure.detail) == (REFUSED, True)


def test_a_crash_is_the_model_s_and_a_kill_the_host_s() -> None:
    def abort() -> None:
        faulthandler.disable()  # pytest's, whose report would stand in the middle of the tests' output
        os.abort()

    crash, kill = failure_of(abort), failure_of(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert (crash.code, "SIGABRT" in crash.detail) == (REFUSED, True)
    assert kill.code is FailureCode.OUT_OF_HOST_MEMORY


def test_a_child_ends_with_its_parent() -> None:
    reading, writing = os.pipe()

    def wait() -> None:
        os.write(writing, str(os.getpid()).encode())
        signal.pause()

    parent = multiprocessing.get_context("fork").Process(target=run_limited, args=(wait, "The file", REFUSED))
    parent.start()
    child = psutil.Process(int(os.read(reading, 20)))
    parent.kill()
    parent.join()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
