"""Sparsity allocation among the blocks, with the measurements of the dense model that the rules need.

OWL needs each block's outlier ratio, the arithmetic progression the best of a few slopes. A slope is evaluated by pruning
the model with Wanda, on input norms of the dense model, and measuring the loss on some of the calibration samples.

Axes:   tokens (samples, length) int64
"""

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from service.contract.recipe.choices import Allocation
from service.contract.recipe.pattern import Pattern
from service.contract.recipe.recipe import Recipe
from worker.engine.activations.batches import Stream
from worker.engine.activations.measuring import measure
from worker.engine.evaluation.head import loaded_head
from worker.engine.evaluation.perplexity import window_losses
from worker.engine.matrix_bits import zero_pruned_
from worker.engine.methods.allocation import SLOPES, arithmetic, outlier_ratio, owl, uniform
from worker.engine.methods.patterns import select_pruned
from worker.engine.methods.saliency import wanda
from worker.engine.model.loading import loaded_block
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Architecture
from worker.engine.report import Part, Stopwatch

_TRIAL_BATCHES = 4
"""Number of batches per slope; few suffice, because losses differ far more between slopes than between samples."""


def allocate(
    arch: Architecture, stream: Stream, tokens: Tensor, recipe: Recipe, watch: Stopwatch, tick: Callable[[], None]
) -> list[Pattern]:
    """Return the pattern of every block; the stream, at the input of the first block, is not advanced."""
    return [recipe.pattern.at_sparsity(share) for share in _shares(arch, stream, tokens, recipe, watch, tick)]


def _shares(
    arch: Architecture, stream: Stream, tokens: Tensor, recipe: Recipe, watch: Stopwatch, tick: Callable[[], None]
) -> tuple[float, ...]:
    """Return the sparsity of every block."""
    sparsity = recipe.pattern.pruned_share
    sizes = [sum(math.prod(matrix.shape) for matrix in block.matrices) for block in arch.blocks]
    if recipe.allocation is Allocation.UNIFORM:
        return uniform(sparsity, sizes)
    norms: list[dict[str, Tensor]] = []
    ratios: list[float] = []
    dense = stream.copy()
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, stream.device) as layer:
            inputs = measure(block, index, dense, matrices=block.matrices, with_gram=False, watch=watch, tick=tick)
            norms.append({matrix.name: inputs[matrix.name].norm.float() for matrix in block.matrices})
            ratios.append(outlier_ratio([_saliency(matrix, layer, norms[-1]) for matrix in block.matrices]))
            with watch.time(Part.FORWARD):
                dense.advance(layer, index, block.name, tick)
    if recipe.allocation is Allocation.OWL:
        return owl(sparsity, sizes, ratios)
    trials = [arithmetic(sparsity, sizes, slope) for slope in SLOPES]
    with watch.time(Part.FORWARD):
        losses = [_loss(arch, stream.copy(_TRIAL_BATCHES), tokens, shares, norms, tick) for shares in trials]
    return trials[losses.index(min(losses))]


def _loss(
    arch: Architecture,
    stream: Stream,
    tokens: Tensor,
    shares: Sequence[float],
    norms: Sequence[dict[str, Tensor]],
    tick: Callable[[], None],
) -> float:
    """Return the mean loss of the model pruned by Wanda with these sparsities, on the samples of the stream."""
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, stream.device) as layer:
            for matrix in block.matrices:
                pruned = select_pruned(_saliency(matrix, layer, norms[index]), sparsity=shares[index])
                zero_pruned_(matrix.read(layer), pruned)
            stream.advance(layer, index, block.name, tick)
    with loaded_head(arch, stream) as head:
        return float(window_losses(head, stream, tokens[: stream.samples], lambda _done: tick()).mean())


def _saliency(matrix: Matrix, layer: nn.Module, norms: Mapping[str, Tensor]) -> Tensor:
    return wanda(matrix.read(layer).float(), norms[matrix.name])
