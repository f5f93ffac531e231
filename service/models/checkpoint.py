"""A checkpoint as its config and the headers of its safetensors files describe it: names, types and shapes, no weights.

Whatever its source (hub, model root, an earlier job), this is what admission, inspection and plans are made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file."""

    dtype: str
    """As safetensors writes it: `F32`, `BF16`, …"""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CheckpointHeaders:
    """What can be known of a checkpoint without its weights."""

    config: dict[str, Any]
    tensors: Mapping[str, TensorHeader]
    shards: Mapping[str, int]
    """The safetensors files, and the bytes of each."""
    revision: str | None
    """hub: the commit; an earlier job: the fence of its artifact; a folder: None."""
