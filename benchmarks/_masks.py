"""Which weights of a pruned model are zero, a bit each, and how far two prunings of one model agree on it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import take_apart

Masks = Mapping[str, NDArray[np.uint8]]
"""By the parameter's name in the model: zero or not, row after row, eight to a byte."""


def matrix_names(model: Path) -> set[str]:
    """The parameters of the model in the folder that the engine prunes."""
    return {matrix.full_name for block in take_apart(model).blocks for matrix in block.matrices}


def zeros(model: Path) -> Masks:
    """The zeros of every matrix that is a parameter of its own; slices of a stack of experts are left out."""
    arch, found = take_apart(model), {}
    for block in arch.blocks:
        with loaded_block(arch, block, torch.device("cpu")) as layer:
            for matrix in block.matrices:
                if matrix.index is None:
                    found[matrix.full_name] = np.packbits((matrix.read(layer) == 0).numpy())
    return found


def agreement(one: Masks, other: Masks) -> float | None:
    """The share of weights that both prune or both keep, over the matrices that both have; none if they have none."""
    shared = [name for name in one.keys() & other.keys() if one[name].size == other[name].size]
    if not shared:
        return None
    differing = sum(int(np.bitwise_count(one[name] ^ other[name]).sum()) for name in shared)
    return 1 - differing / sum(8 * one[name].size for name in shared)
