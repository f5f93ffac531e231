"""What the engine holds of one block while it prunes it, in bytes, told from the shapes of the block's matrices.

Symbols: n     weights of a matrix, rows × columns          c   columns of a matrix, the width of its input
         d     width of the model                            b   bytes of a number in the type that is computed in
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from service.contract import DeviceClass
from service.contract.recipe import (
    AdmmUpdate,
    DsnotRefinement,
    LeastSquaresUpdate,
    NofM,
    ObsUpdate,
    RecipeSpec,
    SwapsRefinement,
)
from service.models.outline import MatrixOutline, ModelOutline

_GRAM_BYTES: Final = 4 << 30
"""Of the Gram matrices of experts that the engine sums in one run."""
_EXAMPLES: Final = 1280
"""Tokens that are kept of every input where no Gram matrix is summed."""
_SLAB: Final = 1 << 23
"""Weights whose state the swaps keep at a time."""
_TO_RESIDUAL: Final = re.compile(r"(^|[._])(o_proj|out_proj|down_proj|dense|c_proj|wo|w2|fc2|fc_out|dense_4h_to_h)\.weight$")
"""Matrices whose output is added to the residual stream, by the names that families give them."""


def fits_tokens(recipe: RecipeSpec) -> bool:
    """Whether Gram matrices decide anything, which takes as many tokens as a matrix has inputs; the engine's own rule."""
    refinement = recipe.refinement
    checks_rows = isinstance(refinement, DsnotRefinement) and refinement.accept == "if_better"
    is_weighed = recipe.update.method != "none" or recipe.objective == "propagated"
    return checks_rows or is_weighed or isinstance(refinement, SwapsRefinement) or recipe.criterion == "obs"


@dataclass(frozen=True)
class Holdings:
    """Of the largest block of a model under a recipe."""

    model: ModelOutline
    recipe: RecipeSpec
    device: DeviceClass

    @property
    def number(self) -> int:
        """b: as stored, but float32 for float16 on a CPU, and what torch can compute in for eight bits."""
        if self.device is DeviceClass.CPU and self.model.dtype == "float16":
            return 4
        return max(2, self.model.bytes_per_parameter)

    @property
    def width(self) -> int:
        """d."""
        return self.model.hidden_size or max((matrix.columns for matrix in self.model.largest_matrices), default=0)

    @property
    def block(self) -> int:
        """The weights of the block."""
        return self.model.largest_block * self.number

    @property
    def results(self) -> int:
        """Of all matrices until they are written: a mask, one byte a weight, and new weights in float32 under an update."""
        return self._weights * (5 if self._is_updated else 1)

    @property
    def changed(self) -> int:
        """The block's tensors as they are written: once themselves, twice in the journal's file while that is made."""
        return 3 * self._weights * self.model.bytes_per_parameter

    @property
    def spread(self) -> int:
        """What brings mask and weights of the largest matrix into the form of its tensor."""
        stored = self.model.bytes_per_parameter
        return self._largest.weights * (3 + (8 + stored if self._is_updated else 0))

    @property
    def statistics(self) -> int:
        """Of all inputs that are measured in one run: their Gram matrices in float32, or examples of their tokens."""
        if not fits_tokens(self.recipe):
            copies = sum(matrix.columns * matrix.copies for matrix in self._leaders(experts=True))
            return 4 * _EXAMPLES * (copies + sum(matrix.columns for matrix in self._leaders(experts=False)))
        plain = [4 * matrix.columns**2 for matrix in self._leaders(experts=False)]
        of_experts = sum(4 * matrix.columns**2 * matrix.copies for matrix in self._leaders(experts=True))
        if self.recipe.objective == "propagated":
            return max(self._imitation, min(of_experts, _GRAM_BYTES))
        return sum(plain) + min(of_experts, _GRAM_BYTES)

    @property
    def _imitation(self) -> int:
        """Under `propagated` a stage is measured alone: G, and beside it K for an input, (s − s̃)x̃ᵀ for a sum."""
        inputs = [8 * matrix.columns**2 for matrix in self._leaders(experts=False) if not _is_summed(matrix)]
        sums = [4 * matrix.columns**2 + 4 * matrix.weights for matrix in self._plain if _is_summed(matrix)]
        return max([*inputs, *sums], default=0)

    @property
    def work(self) -> int:
        """Temporaries of choosing the mask and the weights of one matrix, the most that any takes."""
        return max((self._work_on(matrix) for matrix in self.model.largest_matrices), default=0)

    def _work_on(self, matrix: MatrixOutline) -> int:
        """Bytes a weight and bytes a number of the Gram matrix, each counted where most of them live at once.

        float32: weight, saliency, and what a selection sorts, 12 of them its indices; DSnoT: contributions, scores, lists;
        swaps: the check of the gains, the excess, the correlations; ADMM: Z, U, X̂, the pull, the inverse.
        """
        weights, square = matrix.rows * matrix.columns, matrix.columns**2
        update, refinement = self.recipe.update, self.recipe.refinement
        is_wanted = self.recipe.objective == "propagated"
        weight, wanted = (0 if self.number == 4 else 4), (4 if is_wanted else 0)
        selecting = (weight + 22 + (8 if isinstance(self.recipe.pattern, NofM) else 0)) * weights
        needs = [selecting]
        if isinstance(refinement, DsnotRefinement):
            needs.append((weight + 28) * weights)
        if isinstance(refinement, SwapsRefinement):
            needs.append((weight + wanted + 38) * weights + 4 * square)
            needs.append((weight + wanted + 10) * weights + 36 * min(weights, _SLAB) + 8 * square)
        if isinstance(update, AdmmUpdate):
            needs.append((weight + 44) * weights + 8 * square)
        if isinstance(update, ObsUpdate) or self.recipe.criterion == "obs":
            needs.append((weight + 14) * weights + 48 * square)
        if isinstance(update, LeastSquaresUpdate):
            needs.append((weight + wanted + 58) * weights + 8 * square)
        return max(needs)

    def of_tokens(self) -> int:
        """Bytes a calibration token on the shelf between passes.

        The hidden states; under `propagated` those of the dense model, too, and of its block the inputs of matrices and the
        sums (float32), and the inputs of summed products, which take the place of inputs that have been used.
        """
        hidden = self.width * self.number
        if self.recipe.objective != "propagated":
            return hidden
        inputs = [matrix.columns for matrix in self._leaders(experts=False) if not _is_summed(matrix)]
        kept = [matrix.columns for matrix in self._plain if _is_summed(matrix)]
        by_width = [max(inputs.count(width), kept.count(width)) * width for width in {*inputs, *kept}]
        sums = [matrix.rows for matrix in self._plain if _is_summed(matrix)]
        return 2 * hidden + sum(by_width) * self.number + 4 * sum(sums)

    def of_batch(self, tokens: int, length: int) -> int:
        """What a batch takes on its way through the block, and being measured: in the type computed in, and in float32."""
        widest = max((matrix.columns for matrix in self.model.largest_matrices), default=self.width)
        passing = tokens * (6 * self.width + 3 * widest) * self.number
        return passing + 4 * tokens * widest + 8 * length * widest

    @cached_property
    def _plain(self) -> list[MatrixOutline]:
        return [matrix for matrix in self.model.largest_matrices if not matrix.is_expert]

    @property
    def _weights(self) -> int:
        return sum(matrix.weights for matrix in self.model.largest_matrices)

    @property
    def _largest(self) -> MatrixOutline:
        return max(self.model.largest_matrices, key=lambda matrix: matrix.weights)

    @property
    def _is_updated(self) -> bool:
        return self.recipe.update.method != "none"

    def _leaders(self, *, experts: bool) -> Iterable[MatrixOutline]:
        """One matrix for each input that several may share: those of one part of the block that are as wide."""
        found: dict[tuple[str, int, bool], MatrixOutline] = {}
        for matrix in self.model.largest_matrices:
            if matrix.is_expert == experts:
                part = matrix.name.removesuffix(".weight").rpartition(".")[0]
                found.setdefault((part, matrix.columns, _is_summed(matrix)), matrix)
        return found.values()


def _is_summed(matrix: MatrixOutline) -> bool:
    return not matrix.is_expert and _TO_RESIDUAL.search(matrix.name) is not None
