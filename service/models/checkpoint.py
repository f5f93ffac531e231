"""Checkpoint metadata: the config and the safetensors headers with names, dtypes and shapes, without weights.

Input of admission, inspection and plans for every model source (hub, model root, earlier job).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file."""

    dtype: str
    """The dtype in safetensors notation: `F32`, `BF16`, …"""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CheckpointHeaders:
    """Config and tensor headers of a checkpoint."""

    config: dict[str, Any]
    tensors: Mapping[str, TensorHeader]
    shards: Mapping[str, int]
    """Safetensors file name → size in bytes."""
    revision: str | None
    """hub: the commit; earlier job: the fence of its artifact; local folder: None."""
    first_dtype: str | None = None
    """Dtype of the first floating-point tensor by the names of shards and tensors."""
