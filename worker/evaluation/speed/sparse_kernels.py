"""PyTorch's 2:4 sparse kernels: matrices in the compressed form that NVIDIA's tensor cores support since Ampere.

Mishra et al., Accelerating Sparse Deep Neural Networks (arXiv:2104.08378): of four consecutive inputs two are kept, each with
a two-bit index.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from worker.engine.device_memory import is_device_memory_exhausted
from worker.failures import is_device_lost

_TYPES: Final = {torch.float16, torch.bfloat16}
_AMPERE: Final = (8, 0)
_TILE: Final = 16
"""Divisor of the rows and columns that the kernels support in 16 bits."""


class NoSparseKernels(Exception):
    """Lack of 2:4 kernels for this device or these weights; the text says why, in a sentence."""


def with_sparse_kernels(model: Any) -> int:
    """Compress every 2:4 sparse matrix in place; return how many there were.

    Raises:
        NoSparseKernels: nothing could be converted.
    """
    dtype = model.dtype
    if dtype not in _TYPES:
        raise NoSparseKernels(f"There are no kernels for 2:4 in {str(dtype).removeprefix('torch.')}.")
    matrices = [part for part in model.modules() if type(part) is nn.Linear and is_two_of_four(part.weight)]
    if not matrices:
        raise NoSparseKernels("No matrix of the pruned model is 2:4 sparse, and there are no kernels for other patterns.")
    supported = [part for part in matrices if not any(size % _TILE for size in part.weight.shape)]
    if not supported:
        raise NoSparseKernels("The device's kernels for 2:4 do not support these matrix shapes.")
    for part in supported:
        _compress(part)
    return len(supported)


def is_two_of_four(weight: Tensor) -> bool:
    """Return whether at most two of every four consecutive inputs of a row are not zero; weight (out, in)."""
    if weight.dim() != 2 or weight.shape[1] % 4:
        return False
    return bool((weight.view(weight.shape[0], -1, 4) != 0).sum(dim=2).le(2).all())


def check_device(device: torch.device) -> None:
    """Raise NoSparseKernels if the device has none, whatever the weights are."""
    if device.type != "cuda" or torch.version.hip:
        raise NoSparseKernels("Kernels for 2:4 exist on NVIDIA GPUs only; elsewhere zeros are multiplied like other numbers.")
    if torch.cuda.get_device_capability(device) < _AMPERE:
        raise NoSparseKernels("This GPU is older than Ampere and has no kernels for 2:4.")


def stored_bytes(parameter: Tensor) -> int:
    """Return the bytes that a parameter takes, dense or compressed."""
    if not is_traceable_wrapper_subclass(parameter):
        return parameter.nbytes
    names, _ = parameter.__tensor_flatten__()
    return sum(getattr(parameter, name).nbytes for name in names)


def _compress(part: nn.Linear) -> None:
    try:
        compressed = torch.sparse.to_sparse_semi_structured(part.weight.detach())
    except RuntimeError as error:
        if is_device_memory_exhausted(error) or is_device_lost(error):
            raise
        raise NoSparseKernels("PyTorch could not compress the matrices for the device's 2:4 kernels.") from error
    part.weight = nn.Parameter(compressed, requires_grad=False)
