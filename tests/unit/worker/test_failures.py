"""What the user is told of whatever can stop a job."""

import errno
import json
from pathlib import Path

import pytest
import torch

from service.contract.failures import FailureCode
from worker.engine import Recipe
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe, NumericalFailure
from worker.failures import JobFailure, ModelError, as_failure, is_device_lost


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobFailure(FailureCode.DATASET_UNAVAILABLE, "x"), "dataset-unavailable"),
        (ModelError(FailureCode.MODEL_NOT_FOUND, "x"), "model-not-found"),
        (ArchitectureUnsupported("x"), "architecture-unsupported"),
        (ModelUnsafe("x"), "model-unsafe"),
        (NumericalFailure("x"), "numerical-failure"),
        (torch.OutOfMemoryError("x"), "out-of-device-memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "out-of-device-memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out-of-device-memory"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"), "out-of-device-memory"),
        (MemoryError("x"), "out-of-host-memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out-of-host-memory"),
        (OSError(errno.ENOSPC, "x"), "disk-full"),
        (OSError(errno.EDQUOT, "x"), "disk-full"),
        (OSError(errno.EACCES, "x"), "internal"),
        (RuntimeError("x"), "internal"),
        (AssertionError("x"), "internal"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_error_has_a_code_that_decides_the_retry(error: BaseException, code: str) -> None:
    failure = as_failure(error)

    assert failure.code == code
    assert failure.retryable is failure.code.retryable
    assert failure.detail


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: uncorrectable NVLink error detected during the execution",
        "CUDA error: misaligned address",
        "CUDA error: no CUDA-capable device is detected",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "CUDA error: unknown error",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`",
        "HIP error: unspecified launch failure",
        "CUDA driver error: unknown error",
        "NVML: GPU is lost",
    ],
)
def test_a_failed_gpu_is_recognised_within_other_errors(message: str) -> None:
    assert is_device_lost(torch.AcceleratorError(message))
    wrapped, replaced = ModelUnsafe("x"), OSError("x")
    wrapped.__cause__, replaced.__context__ = RuntimeError(message), wrapped
    assert is_device_lost(replaced)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
        torch.AcceleratorError("CUDA error: invalid argument"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ModelUnsafe("CUDA error: unknown error"),
    ],
)
def test_other_errors_leave_the_gpu_in_service(error: Exception) -> None:
    assert not is_device_lost(error)


def test_a_real_allocation_failure_counts_as_host_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)

    assert as_failure(caught.value).code is FailureCode.OUT_OF_HOST_MEMORY


def test_the_text_of_an_unexpected_error_is_not_exposed() -> None:
    failure = as_failure(RuntimeError("postgresql://user:hunter2@db/dsnot"))

    assert "hunter2" not in failure.model_dump_json()
    assert "RuntimeError" in failure.detail


def test_our_value_errors_are_user_errors_with_their_message() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - whatever the sentence is
        Recipe.from_dict({"no such field": 1})

    failure = as_failure(caught.value)

    assert failure.code is FailureCode.INVALID_REQUEST
    assert failure.detail == str(caught.value)


def test_value_errors_of_libraries_are_not_user_errors() -> None:
    for action in (lambda: json.loads("{"), lambda: torch.randn(2).view(3), lambda: Path("/").with_name("")):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            action()
        assert as_failure(caught.value).code is FailureCode.INTERNAL


def test_a_sentence_with_a_name_of_any_length_is_shortened() -> None:
    detail = as_failure(ModelUnsafe(f"The tensor {'x' * 100_000} is damaged; remove it.")).detail
    assert len(detail) <= 500
    assert detail.startswith("The tensor x")
    assert detail.endswith("x is damaged; remove it.")
