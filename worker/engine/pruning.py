"""One matrix: from the statistics of its input to its final mask.

Axes:    W, masks (out, in)
Symbols: the first mask comes from a saliency and a pattern, the final mask from the refinement of the first.
"""

from dataclasses import dataclass
from time import perf_counter

from torch import Tensor, nn

from worker.engine.dsnot import grow_and_prune
from worker.engine.errors import NumericalFailure
from worker.engine.layer_error import keep_improvements, row_energies
from worker.engine.patterns import select_pruned
from worker.engine.recipe import Accept, Dsnot, Recipe, Targets, Variance
from worker.engine.report import MatrixReport
from worker.engine.saliency import SALIENCIES, wanda
from worker.engine.statistics import InputStatistics


@dataclass(frozen=True)
class Pruned:
    """The final mask of a matrix, (out, in) bool, and its figures."""

    pruned: Tensor
    error_start: float
    error: float
    swaps: int
    seconds: float

    def report(self, name: str, sparsity: float) -> MatrixReport:
        """The matrix's line in the report, once its zeros are written and counted."""
        out, width = self.pruned.shape
        return MatrixReport(name, (out, width), sparsity, self.error_start, self.error, self.swaps, self.seconds)


def needs_gram(recipe: Recipe) -> bool:
    """Whether rows are accepted by their true error. All other errors are for the report and made on examples."""
    return recipe.refinement is not None and recipe.refinement.accept is Accept.IF_BETTER


def prune(layer: nn.Module, name: str, inputs: InputStatistics, recipe: Recipe, sparsity: float, sample_length: int) -> Pruned:
    """Choose the mask of `layer` (nn.Linear, its tensor called `name`) and set its pruned weights to zero.

    Args:
        sparsity: the share to prune where the pattern is unstructured.
        sample_length: tokens per calibration sample; it turns the paper's threshold into one per token.
    """
    started = perf_counter()
    assert isinstance(layer, nn.Linear)
    weight = layer.weight.float()
    if not weight.isfinite().all():
        raise NumericalFailure(f"{name} holds NaN or infinite values.")
    n_of_m = recipe.pattern.n_of_m
    saliency = SALIENCIES[recipe.criterion](weight, inputs.norm.float())
    first = select_pruned(saliency, sparsity=None if n_of_m else sparsity, pattern=n_of_m)
    refinement, final = recipe.refinement, first
    if refinement is not None and _is_target(name, refinement):
        final = _refine(weight, first, saliency, inputs, refinement, n_of_m, sample_length)

    examples = inputs.examples
    whole, lost_first, lost = (
        row_energies(kept, gram=inputs.gram, examples=examples) for kept in (weight, weight * first, weight * final)
    )
    if needs_gram(recipe):
        final, lost = keep_improvements(first, final, lost_first, lost)
    layer.weight.masked_fill_(final, 0)
    return Pruned(
        pruned=final,
        error_start=_ratio(lost_first, whole),
        error=_ratio(lost, whole),
        swaps=int((final & ~first).sum()),
        seconds=perf_counter() - started,
    )


def _is_target(name: str, refinement: Dsnot) -> bool:
    return refinement.targets is Targets.ALL or "attn" in name or "attention" in name


def _refine(
    weight: Tensor,
    first: Tensor,
    saliency: Tensor,
    inputs: InputStatistics,
    refinement: Dsnot,
    n_of_m: tuple[int, int] | None,
    sample_length: int,
) -> Tensor:
    """DSnoT on one matrix. It prunes by Wanda's saliency, but within n:m groups by the one that chose the mask."""
    pooled = refinement.variance is Variance.POOLED
    return grow_and_prune(
        weight,
        first,
        mean=inputs.mean.float(),
        variance=(inputs.variance if pooled else inputs.within_variance).float(),
        saliency=saliency if n_of_m else wanda(weight, inputs.norm.float()),
        max_cycles=refinement.max_cycles,
        threshold=refinement.update_threshold / sample_length,  # the paper sums over the tokens of a sample
        variance_power=refinement.variance_power,
        stop_on_sign_change=refinement.stop_on_sign_change,
        pattern=n_of_m,
    )


def _ratio(part: Tensor, whole: Tensor) -> float:
    """‖(W − W′)X‖² / ‖WX‖² from the energies of rows, (out,); 0 where the layer gives nothing."""
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else 0.0
