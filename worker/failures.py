"""Failures of a job, and how they are reported to the user."""

import errno
import re
from collections.abc import Iterator

from service.contract.failures import Failure, FailureCode, shortened
from worker.engine.errors import ArchitectureUnsupported, DeviceMemoryExhausted, ModelUnsafe, NumericalFailure

_ENGINE_CODES = {
    ArchitectureUnsupported: FailureCode.ARCHITECTURE_UNSUPPORTED,
    ModelUnsafe: FailureCode.MODEL_UNSAFE,
    NumericalFailure: FailureCode.NUMERICAL_FAILURE,
    DeviceMemoryExhausted: FailureCode.OUT_OF_DEVICE_MEMORY,
}
_DEVICE_LOST = re.compile(
    r"(?:CUDA|HIP)(?: driver)? error:.*(?:device-side assert|launch failure|launch timed out|illegal memory access"
    r"|illegal instruction|illegal address|misaligned address|invalid program counter|hardware stack error|uncorrectable"
    r"|unknown error|is lost|no (?:CUDA|ROCm)-capable device|busy or unavailable|CUBLAS_STATUS_EXECUTION_FAILED)"
    r"|GPU is lost",
    re.DOTALL,
)
"""Errors after which the process can no longer use its GPU: the driver logs most of them as an Xid."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_OURS = {"service", "worker"}


class JobFailure(Exception):
    """Failure of a job, with a reason for the user.

    `detail` is one sentence or two, free of secrets and of paths of the worker's machine.
    """

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ModelError(JobFailure):
    """A model that does not exist, may not be read, or is unsafe to read."""


def as_failure(error: BaseException) -> Failure:
    """Convert an exception into the `error` of the job; its code decides whether a retry can help.

    The message of an exception is shown only if this project wrote it for the user. Other libraries put URLs, paths and
    arguments into theirs, so that of an unexpected exception only the class is shown; the log has the rest.
    """
    code, detail = _explain(error)
    return Failure(code=code, detail=shortened(detail), retryable=code.retryable)


def _explain(error: BaseException) -> tuple[FailureCode, str]:
    if isinstance(error, JobFailure):
        return error.code, error.detail
    for kind, code in _ENGINE_CODES.items():
        if isinstance(error, kind):
            return code, str(error)
    from worker.engine.device_memory import is_device_memory_exhausted  # imports torch

    if is_device_memory_exhausted(error):
        return FailureCode.OUT_OF_DEVICE_MEMORY, "The device ran out of memory; use shorter sequences or fewer samples."
    if _is_host_memory(error):
        return (
            FailureCode.OUT_OF_HOST_MEMORY,
            "The worker's host ran out of memory; use shorter sequences or fewer samples.",
        )
    if is_disk_full(error):
        return FailureCode.DISK_FULL, FailureCode.DISK_FULL.sentence
    if type(error) is ValueError and _raised_by_us(error):
        return FailureCode.INVALID_REQUEST, str(error)
    return FailureCode.INTERNAL, f"{FailureCode.INTERNAL.sentence} ({type(error).__name__})"


def is_disk_full(error: BaseException) -> bool:
    """Return whether a file could not be written because the disk or the quota is full."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def is_device_lost(error: BaseException) -> bool:
    """Return whether the error, or one that it wraps or that was raised while handling it, is a loss of the GPU."""
    return any(isinstance(each, RuntimeError) and _DEVICE_LOST.search(str(each)) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_host_memory(error: BaseException) -> bool:
    """Return whether host memory ran out, which torch reports as a RuntimeError that names its CPU allocator."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _raised_by_us(error: BaseException) -> bool:
    """Return whether this project raised the error: a ValueError of another library is not the user's mistake."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    module: str = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.partition(".")[0] in _OURS
