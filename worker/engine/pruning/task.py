"""Pruning task: one matrix with its input statistics, recipe and targets."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from service.contract.recipe.pattern import Pattern
from service.contract.recipe.recipe import Recipe
from worker.engine.activations.statistics import InputStatistics
from worker.engine.linear import product
from worker.engine.methods.patterns import count_of, released_count_of, select

_OF_RELEASED_CODE = {"dsnot-paper", "dsnot-reference"}  # presets that reproduce the released code's number of zeros


@dataclass(frozen=True)
class PruningTask:
    """One matrix to prune. Axes: W (out, in); G = Σ x xᵀ (in, in); B = Σ y xᵀ (out, in), y the target outputs."""

    name: str
    weight: Tensor  # W, float32
    inputs: InputStatistics
    recipe: Recipe
    pattern: Pattern  # the recipe's, with the sparsity that is allocated to the block
    sample_length: int  # tokens per calibration sample
    propagated: Tensor | None = None  # B if the objective is `propagated`; None stands for W G

    @property
    def gram(self) -> Tensor:
        """G; present only if the recipe needs it, see `needs_gram`."""
        assert self.inputs.gram is not None
        return self.inputs.gram

    @cached_property
    def target_products(self) -> Tensor:
        """B; W G unless the objective is propagated."""
        return product(self.weight, self.gram) if self.propagated is None else self.propagated

    def select(self, saliency: Tensor, share: float = 1.0) -> Tensor:
        """Return the mask of the least salient weights under the pattern, or of the given share, 0 to 1, of them."""
        count = released_count_of if self.recipe.preset in _OF_RELEASED_CODE else count_of
        return select(saliency, self.pattern, share, count=count)
