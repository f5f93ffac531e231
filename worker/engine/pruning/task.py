"""One matrix that is to be pruned, with all that is known of it."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from worker.engine.activations.statistics import InputStatistics
from worker.engine.linear import product
from worker.engine.methods.patterns import select_part
from worker.engine.recipe.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """Axes: W (out, in); G = Σ x xᵀ (in, in); B = Σ y xᵀ (out, in), y the outputs that are wanted."""

    name: str
    weight: Tensor  # W, float32
    inputs: InputStatistics
    recipe: Recipe
    sparsity: float  # the share to prune where the pattern is unstructured
    sample_length: int  # tokens per calibration sample
    propagated: Tensor | None = None  # B where it is not W G: the objective is `propagated`

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        return self.recipe.pattern.n_of_m

    @property
    def gram(self) -> Tensor:
        """G; the recipe's methods decide whether it is there, see `needs_gram`."""
        assert self.inputs.gram is not None
        return self.inputs.gram

    @cached_property
    def wanted(self) -> Tensor:
        """B: the outputs of the dense weights unless other ones are wanted."""
        return product(self.weight, self.gram) if self.propagated is None else self.propagated

    def select(self, saliency: Tensor, share: float = 1.0) -> Tensor:
        """The mask that the pattern allows and `saliency` asks for, or a share of it that grows to 1."""
        sparsity = None if self.n_of_m else self.sparsity
        return select_part(saliency, share, sparsity=sparsity, pattern=self.n_of_m)
