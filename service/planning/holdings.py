"""Engine memory for pruning one block, in bytes, computed from the shapes of the block's matrices.

Symbols: n     weights of a matrix, rows × columns          c   columns of a matrix, the width of its input
         d     hidden size of the model                      b   bytes per element of the compute dtype
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from service.contract.devices import DeviceClass
from service.contract.engine_sizes import EXAMPLES_ALLOCATED, GRAM_BYTES, SWAPPED_WEIGHTS, SYSTEMS_BYTES
from service.contract.recipe.choices import Criterion, Objective
from service.contract.recipe.recipe import Recipe
from service.contract.recipe.refinement import DsnotRefinement, SwapsRefinement
from service.contract.recipe.update import AdmmUpdate, LeastSquaresUpdate, ObsUpdate
from service.models.outline import MatrixOutline, ModelOutline

_TO_RESIDUAL: Final = re.compile(r"(^|[._])(o_proj|out_proj|down_proj|dense|c_proj|wo|w2|fc2|fc_out|dense_4h_to_h)\.weight$")
"""Names of matrices whose output is added to the residual stream."""
GPU_CHUNK: Final = 1 << 22
"""Weights that the swap refinement processes at a time on a GPU."""


@dataclass(frozen=True)
class Holdings:
    """Memory terms of the largest block of a model under a recipe, in bytes."""

    model: ModelOutline
    recipe: Recipe
    device: DeviceClass

    @property
    def number(self) -> int:
        """b: bytes per element as stored, but 4 for float16, and at least 2, because torch cannot compute in 8 bits."""
        return 4 if self.model.dtype == "float16" else max(2, self.model.bytes_per_parameter)

    @property
    def loaded_number(self) -> int:
        """Bytes per element of the whole model as loaded for the speed measurement: float16 stays float16 on a GPU."""
        return self.number if self.device is DeviceClass.CPU else max(2, self.model.bytes_per_parameter)

    @property
    def width(self) -> int:
        """d: hidden size, or the widest matrix input if the config has none."""
        return self.model.hidden_size or max((matrix.columns for matrix in self.model.largest_matrices), default=0)

    @property
    def block(self) -> int:
        """Weights of the block."""
        return self.model.largest_block * self.number

    @property
    def results(self) -> int:
        """Results of all matrices until written: a mask, 1 byte per weight, and under an update new weights in float32."""
        return self._weights * (5 if self.recipe.changes_kept_weights else 1)

    @property
    def changed(self) -> int:
        """Tensors of the block while written: one copy, and two in the journal's file as it is created."""
        return 3 * self._weights * self.model.bytes_per_parameter

    @property
    def spread(self) -> int:
        """Temporaries for applying mask and new weights of the largest matrix to its tensor."""
        stored = self.model.bytes_per_parameter
        return self._largest.weights * (3 + (8 + stored if self.recipe.changes_kept_weights else 0))

    @property
    def statistics(self) -> int:
        """Statistics of all inputs of one pass: Gram matrices in float32, or sampled tokens."""
        if not self.recipe.needs_gram:
            copies = sum(matrix.columns * matrix.copies for matrix in self._leaders(experts=True))
            return 4 * EXAMPLES_ALLOCATED * (copies + sum(matrix.columns for matrix in self._leaders(experts=False)))
        plain = [4 * matrix.columns**2 for matrix in self._leaders(experts=False)]
        of_experts = sum(4 * matrix.columns**2 * matrix.copies for matrix in self._leaders(experts=True))
        if self.recipe.objective is Objective.PROPAGATED:
            return max(self._imitation, min(of_experts, GRAM_BYTES))
        return sum(plain) + min(of_experts, GRAM_BYTES)

    @property
    def _imitation(self) -> int:
        """Statistics under `propagated`, one stage at a time: G, and in addition K for an input, (s − s̃)x̃ᵀ for a sum."""
        inputs = [8 * matrix.columns**2 for matrix in self._leaders(experts=False) if not _is_summed(matrix)]
        sums = [4 * matrix.columns**2 + 4 * matrix.weights for matrix in self._plain if _is_summed(matrix)]
        return max([*inputs, *sums], default=0)

    @property
    def work(self) -> int:
        """Temporaries for computing mask and weights of one matrix: the maximum over the matrices."""
        return max((self._work_on(matrix) for matrix in self.model.largest_matrices), default=0)

    def _work_on(self, matrix: MatrixOutline) -> int:
        """Return the peak of the temporaries, as bytes per weight plus bytes per element of the Gram matrix.

        float32: weight, saliency, and the sort of the selection, of which 12 bytes are indices; DSnoT: see `_of_dsnot`;
        swaps: the check of the gains, the excess, the correlations; ADMM: Z, U, X̂, the pull, the inverse. A GPU selects without
        a sort in rows, swaps in larger chunks, and factorises without LAPACK's copies.
        """
        weights, square = matrix.rows * matrix.columns, matrix.columns**2
        update, refinement = self.recipe.update, self.recipe.refinement
        is_wanted = self.recipe.objective is Objective.PROPAGATED
        weight, wanted = (0 if self.number == 4 else 4), (4 if is_wanted else 0)
        needs = [(weight + self._of_selecting()) * weights]
        if isinstance(refinement, DsnotRefinement) and refinement.refines(matrix.name):
            needs.append(int((weight + self._of_dsnot(refinement, matrix.columns)) * weights))
        if isinstance(refinement, SwapsRefinement):
            needs += self._of_swaps(weight, wanted, weights, square)
        if isinstance(update, AdmmUpdate):
            needs += self._of_admm(weight, weights, square)
        if isinstance(update, ObsUpdate) or self.recipe.criterion is Criterion.OBS:
            needs.append((weight + 14) * weights + 48 * square)
        if isinstance(update, LeastSquaresUpdate):
            needs.append((weight + wanted + 58) * weights + 8 * square)
            needs.append((weight + wanted + 32) * weights + 8 * square + self._of_systems(matrix))
        return max(needs)

    def _of_systems(self, matrix: MatrixOutline) -> int:
        """Return the bytes of the least-squares systems of a chunk of rows, and of their factors."""
        system = 8 * math.ceil((1 - self.recipe.pattern.pruned_share) * matrix.columns) ** 2
        return 2 * max(system, min(matrix.rows * system, SYSTEMS_BYTES[self.device]))

    def _of_dsnot(self, refinement: DsnotRefinement, columns: int) -> float:
        """Return the bytes per weight of DSnoT's refinement without the weight itself.

        These are contributions and scores, then instead of some of them the list of swaps, 20 bytes per pair and 8 while it is
        made; within groups the ranks and partners of all weights; without the sign rule two lists, one after the other.
        """
        is_grouped = self.recipe.pattern.group is not None
        listed = min(refinement.max_cycles, columns) / columns
        first_list = 0 if is_grouped or refinement.stop_on_sign_change else 20 * listed
        return (25 if is_grouped else 0) + first_list + max(29, 23 + 28 * listed)

    def _of_selecting(self) -> int:
        """Return the bytes per weight for selecting a mask, without the weight itself."""
        is_grouped = self.recipe.pattern.group is not None
        if self.device is DeviceClass.CPU:
            return 30 if is_grouped else 22
        return 9 if self.recipe.criterion is Criterion.WANDA and not is_grouped else 16

    def _of_swaps(self, weight: int, wanted: int, weights: int, square: int) -> list[int]:
        """Return the bytes of checking the gains, and of the search; on a GPU with the pairs that a large chunk compares."""
        swapped = min(weights, SWAPPED_WEIGHTS)
        if self.device is DeviceClass.CPU:
            return [(weight + wanted + 38) * weights + 4 * square, (weight + wanted + 10) * weights + 36 * swapped + 8 * square]
        pairs = 52 if self.recipe.pattern.group else 140
        search = (weight + wanted + 7) * weights + 16 * swapped + pairs * min(weights, GPU_CHUNK) + 4 * square
        return [(weight + 2 * wanted + 31) * weights + 4 * square, search]

    def _of_admm(self, weight: int, weights: int, square: int) -> list[int]:
        """Return the bytes of the iterations and of the factorisation, on a CPU both together with LAPACK's copies."""
        if self.device is DeviceClass.CPU:
            return [(weight + 44) * weights + 8 * square]
        return [(weight + 38) * weights + 4 * square, (weight + 13) * weights + 12 * square]

    def of_tokens(self) -> int:
        """Return the bytes per calibration token that are stored between passes.

        These are the hidden states; under `propagated` also the dense model's hidden states, and of its block the inputs of the
        matrices, the sums (float32), and the inputs of summed products, which replace inputs that are no longer needed.
        """
        hidden = self.width * self.number
        if self.recipe.objective is not Objective.PROPAGATED:
            return hidden
        inputs = Counter(matrix.columns for matrix in self._leaders(experts=False) if not _is_summed(matrix))
        kept = Counter(matrix.columns for matrix in self._plain if _is_summed(matrix))
        by_width = [count * width for width, count in (inputs | kept).items()]  # of each width the larger count
        sums = [matrix.rows for matrix in self._plain if _is_summed(matrix)]
        return 2 * hidden + sum(by_width) * self.number + 4 * sum(sums)

    def of_batch(self, tokens: int, length: int) -> int:
        """Return the bytes of a batch: activations in the compute dtype during the forward pass, and statistics in float32.

        Without a sample's `length` a GPU measures no statistics; the CPU's allocator holds as much for its own kernels.
        """
        widest = max((matrix.columns for matrix in self.model.largest_matrices), default=self.width)
        passing = tokens * (6 * self.width + 3 * widest) * self.number
        is_bare = not length and self.device is DeviceClass.GPU
        return passing + (0 if is_bare else 4 * tokens * widest + 8 * length * widest)

    @cached_property
    def _plain(self) -> list[MatrixOutline]:
        return [matrix for matrix in self.model.largest_matrices if not matrix.is_expert]

    @property
    def _weights(self) -> int:
        return sum(matrix.weights for matrix in self.model.largest_matrices)

    @property
    def _largest(self) -> MatrixOutline:
        return max(self.model.largest_matrices, key=lambda matrix: matrix.weights)

    def _leaders(self, *, experts: bool) -> Iterable[MatrixOutline]:
        """Yield one matrix per distinct input; matrices of one module with the same input width share theirs."""
        found: dict[tuple[str, int, bool], MatrixOutline] = {}
        for matrix in self.model.largest_matrices:
            if matrix.is_expert == experts:
                part = matrix.name.removesuffix(".weight").rpartition(".")[0]
                found.setdefault((part, matrix.columns, _is_summed(matrix)), matrix)
        return found.values()


def _is_summed(matrix: MatrixOutline) -> bool:
    return not matrix.is_expert and _TO_RESIDUAL.search(matrix.name) is not None
