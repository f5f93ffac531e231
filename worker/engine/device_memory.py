"""Retry with half the batch size when the device runs out of memory."""

import re
from collections.abc import Callable
from typing import TypeVar

import torch

from service.contract.engine_sizes import TOKENS_PER_BATCH as TOKENS_PER_BATCH  # exported: callers read it here
from worker.engine.errors import DeviceMemoryExhausted

Result = TypeVar("Result")
_REQUEST = re.compile(r"Tried to allocate ([\d.]+) (\w)iB")
_LIBRARY = re.compile(r"(CU|HIP)(BLAS|DNN|SOLVER|SPARSE)_STATUS_ALLOC_FAILED|(CUDA|HIP) driver error: out of memory")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def retry_with_half_batch_on_oom(
    run: Callable[[int], Result], device: torch.device, largest_batch: Callable[[int], int]
) -> Result:
    """Call `run` with the default number of tokens per batch, or with half of it if the device runs out of memory.

    `largest_batch` returns the samples of the largest batch for a number of tokens per batch; where half of the tokens makes
    the same batch, there is no second attempt.

    Raises:
        DeviceMemoryExhausted: half was too many, too; the message says how much memory was needed.
    """
    try:
        return run(TOKENS_PER_BATCH)
    except RuntimeError as error:
        if not is_device_memory_exhausted(error):
            raise
        reason = str(error)  # leaving the handler drops the traceback, which holds the failed run's tensors
    if largest_batch(TOKENS_PER_BATCH) == largest_batch(TOKENS_PER_BATCH // 2):
        raise DeviceMemoryExhausted(_explain(reason, device))
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        return run(TOKENS_PER_BATCH // 2)
    except RuntimeError as error:
        if not is_device_memory_exhausted(error):
            raise
        raise DeviceMemoryExhausted(_explain(str(error), device)) from error


def is_device_memory_exhausted(error: BaseException) -> bool:
    """Return whether the device ran out of memory, in PyTorch's allocator, in the driver or in a library of CUDA."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if isinstance(error, torch.AcceleratorError):
        return "out of memory" in str(error)
    return isinstance(error, RuntimeError) and _LIBRARY.search(str(error)) is not None


def _explain(text: str, device: torch.device) -> str:
    found = _REQUEST.search(text)
    needed = float(found[1]) * _UNITS.get(found[2], 1) if found else 0.0
    capacity = ""
    if device.type == "cuda":
        needed += torch.cuda.max_memory_allocated(device)
        capacity = f" of {torch.cuda.mem_get_info(device)[1] / 2**30:.1f} GiB"
    batch = f"with {TOKENS_PER_BATCH // 2} tokens at a time, or one sample if that is longer"
    return (
        f"The device memory{capacity} is too small: {batch}, at least {needed / 2**30:.1f} GiB were needed. "
        "Use shorter sequences, or a recipe without a Gram matrix, such as dsnot-paper."
    )
