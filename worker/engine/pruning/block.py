"""Pruning of one decoder block: its matrices in the order that the recipe's objective requires.

layerwise    the dense block is measured in one forward pass; then all its matrices are pruned
propagated   stage by stage, each measured with the stages before it pruned and compared with the dense model
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from service.contract.engine_sizes import GRAM_BYTES
from service.contract.recipe.pattern import Pattern
from service.contract.recipe.recipe import Recipe
from worker.engine.activations.batches import Stream
from worker.engine.activations.dense_reference import DenseReference, Stage
from worker.engine.activations.dense_targets import ALPHA_MASK_ONLY, ALPHA_UPDATE, StageTargets
from worker.engine.activations.measuring import check_finite, measure, never_multiplied
from worker.engine.activations.partial_forward import PartialForward
from worker.engine.activations.statistics import InputStatistics
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.matrix_bits import zero_pruned_
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block
from worker.engine.pruning.matrix import Pruned, prune
from worker.engine.pruning.task import PruningTask
from worker.engine.report import Part, Stopwatch


@dataclass(frozen=True)
class BlockPruning:
    """Pruning of the loaded block `index`; its weights in memory are overwritten."""

    block: Block
    index: int
    recipe: Recipe
    pattern: Pattern  # of this block
    stream: Stream  # of the pruned model, at the input of the block
    source: Checkpoint
    partial_forward: PartialForward  # caches the inputs of pruned matrices, for later passes through the block
    watch: Stopwatch
    tick: Callable[[], None]
    matrix_pruned: Callable[[int], None]  # with the number of the block's matrices

    def run(self, layer: nn.Module, dense: DenseReference | None) -> dict[Matrix, Pruned]:
        """Prune every matrix and return the results; `dense` holds the targets if the objective is propagated."""
        if dense is None:
            return self._layerwise(layer, self.block.matrices)
        results: dict[Matrix, Pruned] = {}
        for stage in dense.stages:
            is_comparable = not stage.has_experts
            results |= self._propagated(layer, stage, dense) if is_comparable else self._layerwise(layer, stage.matrices)
        return results

    def _layerwise(self, layer: nn.Module, matrices: Sequence[Matrix]) -> dict[Matrix, Pruned]:
        """Measure all matrices, in as many forward passes as needed, before any is changed."""
        results: dict[Matrix, Pruned] = {}
        for some in self._together(matrices):
            inputs = self._measure(some)
            results |= {matrix: self._prune(layer, matrix, inputs[matrix.name], None) for matrix in some}
            del inputs  # free them before the next pass
        for matrix, result in results.items():
            self._write(layer, matrix, result)
        return results

    def _together(self, matrices: Sequence[Matrix]) -> list[list[Matrix]]:
        """Group the matrices by forward pass: all in one, except that experts' Gram matrices are limited to GRAM_BYTES."""
        if not self.recipe.needs_gram:
            return [list(matrices)]
        runs, room = [[matrix for matrix in matrices if matrix.experts is None]], GRAM_BYTES
        experts: dict[tuple[str, int | None], list[Matrix]] = {}
        for matrix in matrices:
            if matrix.experts is not None:
                experts.setdefault((matrix.experts, matrix.index), []).append(matrix)
        for expert in experts.values():
            size = sum(4 * matrix.shape[1] ** 2 for matrix in expert)
            if size > room and runs[-1]:
                runs.append([])
                room = GRAM_BYTES
            runs[-1] += expert
            room -= size
        return [run for run in runs if run]

    def _propagated(self, layer: nn.Module, stage: Stage, dense: DenseReference) -> dict[Matrix, Pruned]:
        pull = ALPHA_UPDATE if self.recipe.changes_kept_weights else ALPHA_MASK_ONLY
        run = StageTargets(self.block, self.index, stage, self.stream, dense, self.partial_forward, pull)
        run.run(self.watch, self.tick)
        results: dict[Matrix, Pruned] = {}
        for leader, group in stage.groups.items():
            if leader not in run.inputs:
                raise never_multiplied(self.block, group[0])
            for matrix in group:
                check_finite(matrix, run.inputs[leader])
                with self.watch.time(Part.STATISTICS):
                    target_products = run.target_products(matrix, matrix.read(layer).float())
                results[matrix] = self._prune(layer, matrix, run.inputs[leader], target_products)
                self._write(layer, matrix, results[matrix])
        self.partial_forward.mark_pruned(stage.matrices)
        return results

    def _measure(self, matrices: Sequence[Matrix]) -> dict[str, InputStatistics]:
        return measure(
            self.block,
            self.index,
            self.stream,
            matrices=matrices,
            with_gram=self.recipe.needs_gram,
            watch=self.watch,
            tick=self.tick,
        )

    def _prune(self, layer: nn.Module, matrix: Matrix, inputs: InputStatistics, target_products: Tensor | None) -> Pruned:
        weight = matrix.read(layer).float()
        result = prune(
            PruningTask(matrix.name, weight, inputs, self.recipe, self.pattern, self.stream.length, target_products), self.watch
        )
        self.matrix_pruned(len(self.block.matrices))
        self.tick()
        return result

    def _write(self, layer: nn.Module, matrix: Matrix, result: Pruned) -> None:
        """Write the result to the block in memory, rounded to the checkpoint's data type."""
        if result.weight is None:
            zero_pruned_(matrix.read(layer), result.pruned)
        else:
            matrix.write(layer, result.weight.to(self.source.tensors[matrix.filling.tensors[0]].dtype))
