"""Masks of a pruned model, a bit per weight, and the agreement of two masks of one model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure

Masks = Mapping[str, NDArray[np.uint8]]
"""Masks by parameter name: a bit per weight, set if it is zero, row after row, eight to a byte."""


def matrix_names(model: Path) -> set[str]:
    """Return the names of the parameters that the engine prunes."""
    return {matrix.full_name for block in load_structure(model).blocks for matrix in block.matrices}


def zeros(model: Path) -> Masks:
    """Return the zeros of every matrix that is a separate parameter; slices of stacked experts are left out."""
    arch, found = load_structure(model), {}
    for block in arch.blocks:
        with loaded_block(arch, block, torch.device("cpu")) as layer:
            for matrix in block.matrices:
                if matrix.index is None:
                    found[matrix.full_name] = np.packbits((matrix.read(layer) == 0).numpy())
    return found


def agreement(one: Masks, other: Masks) -> float | None:
    """Return the share of weights that both prune or both keep, over the matrices that both have; None if there are none."""
    shared = [name for name in one.keys() & other.keys() if one[name].size == other[name].size]
    if not shared:
        return None
    differing = sum(int(np.bitwise_count(one[name] ^ other[name]).sum()) for name in shared)
    return 1 - differing / sum(8 * one[name].size for name in shared)
