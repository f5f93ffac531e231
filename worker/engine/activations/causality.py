"""Check of a block's causality: what it gives at a position must not depend on later ones, whatever its config says."""

from dataclasses import replace
from typing import Final

import torch
from torch import nn

from worker.engine.activations.batches import Stream
from worker.engine.errors import ArchitectureUnsupported

_TOLERANCE: Final = 0.005
"""Relative change that rounding explains: later tokens choose other experts, whose products then have other shapes."""


def check_causal(stream: Stream, layer: nn.Module, name: str) -> None:
    """Run the first batch through the loaded first block, called `name`, with the second half of its positions negated.

    The outputs at the first half must stay the same.

    Raises:
        ArchitectureUnsupported: they do not.
    """
    states, half = stream.states[0], stream.length // 2
    axes = [axis for axis, size in enumerate(states.shape[:-1]) if size == stream.length]
    if not half or not axes:
        return
    axis = axes[-1]  # (samples, length, width), also where there are as many samples
    later = states.narrow(axis, half, stream.length - half)
    changed = replace(stream, states=[torch.cat([states.narrow(axis, 0, half), -later], axis)])
    before, after = (each.run(layer, 0, batch=0).narrow(axis, 0, half).float() for each in (stream, changed))
    if (after - before).norm() > _TOLERANCE * before.norm():
        raise ArchitectureUnsupported(
            f"In {name} tokens see later ones, so the checkpoint is no causal language model; take a causal model."
        )
