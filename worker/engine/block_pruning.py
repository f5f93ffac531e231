"""One block of a decoder: its matrices in the order in which the recipe's objective wants them pruned.

layerwise    the block is measured in one run, with its matrices as they are; then all are pruned
propagated   stage by stage, each measured with the stages before it pruned and held against the dense model
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from worker.engine.architectures import Block
from worker.engine.matrices import Matrix
from worker.engine.measuring import check_finite, measure, never_multiplied
from worker.engine.propagation import PULL_ON_MASKS, PULL_ON_WEIGHTS, DenseRun, Stage, StageRun
from worker.engine.pruning import Pruned, needs_gram, prune
from worker.engine.recipe import Recipe
from worker.engine.report import Part, Stopwatch
from worker.engine.statistics import InputStatistics
from worker.engine.streams import Stream
from worker.engine.task import Task


@dataclass(frozen=True)
class BlockPruning:
    """All that is needed to prune the loaded block `index`. Its weights in memory become the new ones."""

    block: Block
    index: int
    recipe: Recipe
    sparsity: float
    stream: Stream  # the pruned model's, at the entrance of the block
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
        inputs = self._measure(matrices)
        return {matrix: self._prune(layer, matrix, inputs[matrix.name], None) for matrix in matrices}

    def _propagated(self, layer: nn.Module, stage: Stage, dense: DenseRun) -> dict[Matrix, Pruned]:
        pull = PULL_ON_MASKS if self.recipe.update is None else PULL_ON_WEIGHTS
        run = StageRun(self.block, self.index, stage, self.stream, dense, pull)
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
        weight = matrix.read(layer)
        task = Task(matrix.name, weight.float(), inputs, self.recipe, self.sparsity, self.stream.length, wanted)
        result = prune(task, self.watch)
        new = weight.masked_fill(result.pruned, 0) if result.weight is None else result.weight
        matrix.write(layer, new)
        self.tick()
        return result
