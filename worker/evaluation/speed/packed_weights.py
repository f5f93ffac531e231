"""Pruned checkpoints with the CPU kernels of `dsnot_runtime`, which read kept values only."""

from pathlib import Path
from typing import Any

from torch import Tensor

from worker.evaluation.speed.sparse_kernels import NoSparseKernels
from worker.inputs.whole_models import load_whole


def load_packed(path: Path, values: Any) -> Any:
    """Return the model of a checked folder with its matrices packed.

    Args:
        values: `stored`, or `int8`.

    Raises:
        NoSparseKernels: no matrix has enough zeros.
    """
    from dsnot_runtime import SparseConfig
    from dsnot_runtime.errors import NotSparse

    config = SparseConfig(values=values)
    try:
        return load_whole(path, quantization_config=config)
    except NotSparse:
        message = f"No matrix of the pruned model has {config.min_zeros:.0%} zeros, from which packing pays on a CPU."
        raise NoSparseKernels(message) from None


def is_packed(weight: Tensor) -> bool:
    """Return whether a parameter is in packed form."""
    from dsnot_runtime import SparseWeight

    return isinstance(weight, SparseWeight)
