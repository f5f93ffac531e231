"""Weight update of one matrix, under a given mask or jointly with the mask.

Axes:    W and masks (out, in).
"""

from torch import Tensor

from service.contract.recipe.choices import Criterion
from service.contract.recipe.refinement import NoRefinement
from service.contract.recipe.update import AdmmUpdate, LeastSquaresUpdate, ObsUpdate
from worker.engine.methods.admm import admm
from worker.engine.methods.least_squares import least_squares
from worker.engine.methods.sparsegpt import update_by_obs
from worker.engine.pruning.task import PruningTask


def update(task: PruningTask, pruned: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the new weights (out, in), None if the recipe has no update, and their mask."""
    method = task.recipe.update
    if isinstance(method, ObsUpdate):
        return _by_obs(task, pruned, method)
    if isinstance(method, LeastSquaresUpdate):
        return least_squares(task.weight, pruned, gram=task.gram, target_products=task.propagated, damping=method.damping), pruned
    if isinstance(method, AdmmUpdate):
        return _by_admm(task, pruned, method)
    return None, pruned


def _by_obs(task: PruningTask, pruned: Tensor, method: ObsUpdate) -> tuple[Tensor, Tensor]:
    """Update by OBS; with the obs criterion and no refinement, the mask is selected during the sweep, as in SparseGPT."""
    is_given = task.recipe.criterion is not Criterion.OBS or not isinstance(task.recipe.refinement, NoRefinement)
    if is_given:
        return update_by_obs(task.weight, task.gram, pruned=pruned, damping=method.damping)
    return update_by_obs(task.weight, task.gram, pattern=task.pattern, damping=method.damping)


def _by_admm(task: PruningTask, pruned: Tensor, method: AdmmUpdate) -> tuple[Tensor, Tensor]:
    """Update by ADMM under the refined mask, or jointly with the mask."""

    def given(_saliency: Tensor, _share: float) -> Tensor:
        return pruned

    return admm(
        task.weight,
        gram=task.gram,
        target_products=task.target_products,
        select=task.select if method.mask == "joint" else given,
        iterations=method.iterations,
        damping=method.damping,
    )
