"""Pruning task: one matrix with its input statistics, recipe and targets."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from worker.engine.activations.statistics import InputStatistics
from worker.engine.linear import product
from worker.engine.methods.patterns import select_part
from worker.engine.recipe.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """One matrix to prune. Axes: W (out, in); G = Σ x xᵀ (in, in); B = Σ y xᵀ (out, in), y the target outputs."""

    name: str
    weight: Tensor  # W, float32
    inputs: InputStatistics
    recipe: Recipe
    sparsity: float  # used if the pattern is unstructured
    sample_length: int  # tokens per calibration sample
    propagated: Tensor | None = None  # B if the objective is `propagated`; None stands for W G

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        """The n:m pattern (n, m), or None if unstructured."""
        return self.recipe.pattern.n_of_m

    @property
    def gram(self) -> Tensor:
        """G; present only if the recipe needs it, see `needs_gram`."""
        assert self.inputs.gram is not None
        return self.inputs.gram

    @cached_property
    def wanted(self) -> Tensor:
        """B; W G unless the objective is propagated."""
        return product(self.weight, self.gram) if self.propagated is None else self.propagated

    def select(self, saliency: Tensor, share: float = 1.0) -> Tensor:
        """Return the mask of the least salient weights under the pattern, or of the given share, 0 to 1, of them."""
        sparsity = None if self.n_of_m else self.sparsity
        return select_part(saliency, share, sparsity=sparsity, pattern=self.n_of_m)
