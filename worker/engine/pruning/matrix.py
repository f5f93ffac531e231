"""Pruning of one matrix: from its input statistics to its final mask and weights.

Axes:    W, masks (out, in)
Symbols: the first mask comes from a saliency and a pattern, the final mask from the refinement of the first or, with the
         weights, from an update that chooses both.
"""

from dataclasses import dataclass
from time import perf_counter

from torch import Tensor

from service.contract.matrices import MatrixReport
from worker.engine.errors import NumericalFailure
from worker.engine.matrix_bits import is_finite
from worker.engine.methods.layer_error import row_energies
from worker.engine.pruning.mask import refine, saliency_of
from worker.engine.pruning.task import PruningTask
from worker.engine.pruning.update import update
from worker.engine.report import Part, Stopwatch


@dataclass(frozen=True)
class Pruned:
    """Final mask of a matrix, (out, in) bool, its new weights if the recipe updates them, and its report."""

    pruned: Tensor
    weight: Tensor | None
    report: MatrixReport


def prune(task: PruningTask, watch: Stopwatch) -> Pruned:
    """Compute the mask of a matrix and, if the recipe has an update, its new weights. Nothing is changed in place.

    Raises:
        NumericalFailure: the weights are not finite; the message names the matrix.
    """
    weight = task.weight
    if not is_finite(weight):
        raise NumericalFailure(f"{task.name} holds NaN or infinite values.")
    started = perf_counter()  # a GPU has finished its queue to answer the check
    with watch.time(Part.MASKS):
        saliency = saliency_of(task)
        first = task.select(saliency)
        refined = refine(task, first, saliency)
    with watch.time(Part.UPDATES):
        updated, pruned = update(task, refined.pruned)
    with watch.time(Part.MASKS):
        whole, lost_first = _energy(task, weight), _energy(task, weight * first)
        lost_mask = lost_first if pruned is first else _energy(task, weight * pruned)
        lost = lost_mask if updated is None else _energy(task, weight - updated)
    report = MatrixReport(
        name=task.name,
        shape=(weight.shape[0], weight.shape[1]),
        sparsity=task.pattern.pruned_share,  # replaced by the count in the written file
        error_start=_ratio(lost_first, whole),
        error_mask=_ratio(lost_mask, whole),
        error=_ratio(lost, whole),
        swaps=int((pruned & ~first).sum()),
        stops=refined.stops,
        tokens=task.inputs.tokens,
        seconds=perf_counter() - started,
    )
    return Pruned(pruned, updated, report)


def _energy(task: PruningTask, matrix: Tensor) -> float:
    """Return ‖M X‖² over the calibration tokens, or over examples of them."""
    inputs = task.inputs
    return float(row_energies(matrix, gram=inputs.gram, examples=inputs.examples).sum())


def _ratio(part: float, whole: float) -> float:
    """Return ‖(W − W′)X‖² / ‖WX‖²; 0 if the layer's output is zero."""
    return part / whole if whole > 0 else 0.0
