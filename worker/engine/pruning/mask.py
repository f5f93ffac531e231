"""Mask of one matrix: a first mask from the criterion's saliency, then its refinement.

Axes:    W, saliency and masks (out, in).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from service.contract.recipe.choices import Criterion
from service.contract.recipe.refinement import DsnotRefinement, SwapsRefinement
from worker.engine.methods.dsnot import Stop, refine_by_dsnot
from worker.engine.methods.hessian import inverse_factor
from worker.engine.methods.layer_error import keep_improvements, row_energies
from worker.engine.methods.saliency import SALIENCIES, wanda
from worker.engine.methods.sparsegpt import obs_saliency
from worker.engine.methods.swaps import swap
from worker.engine.pruning.task import PruningTask

_OBS_DAMPING = 0.01  # as in SparseGPT


@dataclass(frozen=True)
class Refined:
    """Refined mask, (out, in) bool, and the number of rows per stop reason."""

    pruned: Tensor
    stops: dict[str, int]


def saliency_of(task: PruningTask) -> Tensor:
    """Return the saliency by the recipe's criterion, (out, in)."""
    criterion = task.recipe.criterion
    if criterion is Criterion.OBS:
        return obs_saliency(task.weight, inverse_factor(task.gram, _OBS_DAMPING).diagonal())
    return SALIENCIES[criterion](task.weight, task.inputs.norm.float())


def refine(task: PruningTask, first: Tensor, saliency: Tensor) -> Refined:
    """Return the first mask refined as the recipe says; unchanged where the recipe does not refine this matrix."""
    refinement = task.recipe.refinement
    if isinstance(refinement, SwapsRefinement):
        return _by_swaps(task, first, refinement)
    if isinstance(refinement, DsnotRefinement) and refinement.refines(task.name):
        return _by_dsnot(task, first, saliency, refinement)
    return Refined(first, {})


def _by_swaps(task: PruningTask, first: Tensor, refinement: SwapsRefinement) -> Refined:
    pruned = swap(
        task.weight,
        first,
        gram=task.gram,
        max_swaps=refinement.max_swaps,
        group=task.pattern.group,
        target_products=task.propagated,
    )
    spent = int(((pruned & ~first).sum(dim=1) >= refinement.max_swaps).sum())
    return Refined(pruned, {"max_swaps": spent, "no_better_swap": len(first) - spent})


def _by_dsnot(task: PruningTask, first: Tensor, saliency: Tensor, refinement: DsnotRefinement) -> Refined:
    """Refine by DSnoT: it prunes by Wanda's saliency, within n:m groups by the saliency that selected the mask."""
    inputs, weight = task.inputs, task.weight
    pooled = refinement.variance == "pooled"
    result = refine_by_dsnot(
        weight,
        first,
        mean=inputs.mean.float(),
        variance=(inputs.variance if pooled else inputs.within_variance).float(),
        saliency=saliency if task.pattern.group else wanda(weight, inputs.norm.float()),
        max_cycles=refinement.max_cycles,
        threshold=refinement.update_threshold / task.sample_length,  # the paper sums over the tokens of a sample
        variance_power=refinement.variance_power,
        stop_on_sign_change=refinement.stop_on_sign_change,
        group=task.pattern.group,
    )
    counts = torch.bincount(result.stops, minlength=len(Stop)).tolist()
    stops = {stop.name.lower(): count for stop, count in zip(Stop, counts, strict=True) if count}
    if refinement.accept == "always":
        return Refined(result.pruned, stops)
    before, after = (row_energies(weight * mask, gram=task.gram) for mask in (first, result.pruned))
    kept, _ = keep_improvements(first, result.pruned, before, after)
    return Refined(kept, stops)
