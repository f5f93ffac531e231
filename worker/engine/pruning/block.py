"""One block of a decoder: its matrices in the order in which the recipe's objective wants them pruned.

layerwise    the block is measured in one run, with its matrices as they are; then all are pruned
propagated   stage by stage, each measured with the stages before it pruned and held against the dense model
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from worker.engine.activations.batches import Stream
from worker.engine.activations.dense_reference import DenseRun, Stage
from worker.engine.activations.dense_targets import PULL_ON_MASKS, PULL_ON_WEIGHTS, StageRun
from worker.engine.activations.measuring import check_finite, measure, never_multiplied
from worker.engine.activations.partial_forward import Detour
from worker.engine.activations.statistics import InputStatistics
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block
from worker.engine.pruning.matrix import Pruned, needs_gram, prune
from worker.engine.pruning.task import Task
from worker.engine.recipe.recipe import Recipe
from worker.engine.report import Part, Stopwatch

GRAM_BYTES = 4 << 30  # of the Gram matrices of experts that are summed in one run


@dataclass(frozen=True)
class BlockPruning:
    """All that is needed to prune the loaded block `index`. Its weights in memory become the new ones."""

    block: Block
    index: int
    recipe: Recipe
    sparsity: float
    stream: Stream  # the pruned model's, at the entrance of the block
    source: Checkpoint
    detour: Detour  # around what is settled in the end, for the stream to go on
    watch: Stopwatch
    tick: Callable[[], None]

    def run(self, layer: nn.Module, dense: DenseRun | None) -> dict[Matrix, Pruned]:
        """The result of every matrix; `dense` is what is to be imitated where the objective is propagated."""
        if dense is None:
            return self._layerwise(layer, self.block.matrices)
        results: dict[Matrix, Pruned] = {}
        for stage in dense.stages:
            is_comparable = not stage.has_experts
            results |= self._propagated(layer, stage, dense) if is_comparable else self._layerwise(layer, stage.matrices)
        return results

    def _layerwise(self, layer: nn.Module, matrices: Sequence[Matrix]) -> dict[Matrix, Pruned]:
        """All are measured before any is changed, however many runs it takes."""
        results: dict[Matrix, Pruned] = {}
        for some in self._together(matrices):
            inputs = self._measure(some)
            results |= {matrix: self._prune(layer, matrix, inputs[matrix.name], None) for matrix in some}
            del inputs  # before those of the next run come
        for matrix, result in results.items():
            self._write(layer, matrix, result)
        return results

    def _together(self, matrices: Sequence[Matrix]) -> list[list[Matrix]]:
        """What is measured in one run: all, but of experts only as many as Gram matrices may take memory."""
        if not needs_gram(self.recipe):
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

    def _propagated(self, layer: nn.Module, stage: Stage, dense: DenseRun) -> dict[Matrix, Pruned]:
        pull = PULL_ON_MASKS if self.recipe.update is None else PULL_ON_WEIGHTS
        run = StageRun(self.block, self.index, stage, self.stream, dense, self.detour, pull)
        run.run(self.watch, self.tick)
        results: dict[Matrix, Pruned] = {}
        for leader, group in stage.groups.items():
            if leader not in run.inputs:
                raise never_multiplied(self.block, group[0])
            for matrix in group:
                check_finite(matrix, run.inputs[leader])
                with self.watch.time(Part.STATISTICS):
                    wanted = run.wanted(matrix, matrix.read(layer).float())
                results[matrix] = self._prune(layer, matrix, run.inputs[leader], wanted)
                self._write(layer, matrix, results[matrix])
        self.detour.settle(stage.matrices)
        return results

    def _measure(self, matrices: Sequence[Matrix]) -> dict[str, InputStatistics]:
        return measure(
            self.block,
            self.index,
            self.stream,
            matrices=matrices,
            with_gram=needs_gram(self.recipe),
            watch=self.watch,
            tick=self.tick,
        )

    def _prune(self, layer: nn.Module, matrix: Matrix, inputs: InputStatistics, wanted: Tensor | None) -> Pruned:
        weight = matrix.read(layer).float()
        result = prune(Task(matrix.name, weight, inputs, self.recipe, self.sparsity, self.stream.length, wanted), self.watch)
        self.tick()
        return result

    def _write(self, layer: nn.Module, matrix: Matrix, result: Pruned) -> None:
        """Put the result into the block in memory: with the numbers that the checkpoint's type will hold."""
        stored = self.source.tensors[matrix.filling.tensors[0]].dtype
        weight = matrix.read(layer).masked_fill(result.pruned, 0) if result.weight is None else result.weight.to(stored)
        matrix.write(layer, weight)
