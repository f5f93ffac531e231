"""What the dense block computes, remembered for the stages in which the pruned one is made to imitate it.

Matrices that share inputs are a stage, in the order of their products. Experts of a mixture see other tokens in the two
models: they are one stage and imitate themselves.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worker.engine.activations.batches import Stream
from worker.engine.activations.matmul_tracing import Place, Products, place
from worker.engine.activations.measuring import never_multiplied
from worker.engine.activations.residual_tracing import Sums
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block
from worker.engine.report import Part, Stopwatch

Remembered = dict[str, list[list[Tensor]]]  # by the name of a matrix; of every batch, in the order of calls
Key = tuple[Any, ...]


@dataclass
class Stage:
    """Matrices that are pruned on the same run, by the first of those that share their inputs."""

    groups: dict[str, list[Matrix]]

    @property
    def matrices(self) -> list[Matrix]:
        return [matrix for group in self.groups.values() for matrix in group]

    @property
    def has_experts(self) -> bool:
        return any(matrix.experts is not None for matrix in self.matrices)


@contextmanager
def watched(
    views: Mapping[Place, str],
    follows: Collection[str],
    seen: Callable[[str, Tensor, Key], None],
    summed: Callable[[str, Tensor, Tensor], None],
) -> Iterator[None]:
    """While it is open, tells what matrices are multiplied with and, of those it `follows`, what comes of their products.

    `seen` gets a matrix's name, its inputs, and what tells these from all others. `summed` gets the name, the inputs and
    the sum, float32, when something is added to the product; when more is added to that, only what is added.
    """
    inputs: dict[str, Tensor] = {}

    def see(name: str, x: Tensor, key: Key, _is_slice: bool) -> None:
        inputs[name] = x
        seen(name, x, key)

    def add(product: tuple[str, Tensor, list[Tensor]], addend: Tensor) -> None:
        name, x, made = product
        summed(name, x, addend.float() + made.pop().float() if made else addend.float())

    sums = Sums(add)

    def follow(name: str, made: Tensor) -> None:
        if name in follows:
            sums.follow(made, (name, inputs[name], [made]))

    try:
        with sums, Products(views, see, follow):
            yield
    finally:
        sums.forget()


class DenseRun:
    """What the dense block computes of every batch; the dense stream goes one block further.

    Of a matrix whose product is added to something the sums are remembered, of the others the inputs.
    """

    def __init__(self, block: Block, index: int, stream: Stream, watch: Stopwatch, tick: Callable[[], None]) -> None:
        """Run the loaded block, which is not pruned."""
        self.inputs: Remembered = defaultdict(list)
        self.sums: Remembered = defaultdict(list)
        self.stages: list[Stage] = []
        self._matrices = {matrix.name: matrix for matrix in block.matrices}
        self._leaders: dict[str, str] = {}
        self._shelf = stream.shelf
        self._needless: set[str] = set()  # leaders whose inputs are not remembered
        self._passing: dict[Key, tuple[str, Tensor]] = {}  # held, so that places stay theirs
        views = {place(matrix.read(block.module)): matrix.name for matrix in block.matrices}
        follows = {matrix.name for matrix in block.matrices if matrix.experts is None}
        for batch in range(len(stream.states)):
            self._batch = batch
            with watch.time(Part.FORWARD), watched(views, follows, self._see, self._add):
                stream.step(block.module, index, block.name, batch)
            self._passing.clear()
            if batch == 0:
                self._forget_inputs_of_sums()
            tick()
        for matrix in block.matrices:
            if matrix.name not in self._leaders:
                self._place_unseen(block, matrix)

    def is_summed(self, matrix: str) -> bool:
        """Whether what is remembered of a matrix is a sum."""
        return matrix in self.sums

    def forget(self, stage: Stage) -> None:
        """Let go of what a stage needed; it is not asked for again."""
        for matrix in stage.matrices:
            for remembered in (self.inputs, self.sums):
                self._shelf.take_back(kept for batch in remembered.pop(matrix.name, ()) for kept in batch)

    def _forget_inputs_of_sums(self) -> None:
        """Inputs that no matrix is left for, as those of all that share them are added to something."""
        needed = {leader for name, leader in self._leaders.items() if name not in self.sums}
        self._needless = set(self.inputs) - needed
        for leader in self._needless:
            self._shelf.take_back(kept for batch in self.inputs.pop(leader) for kept in batch)

    def _place_unseen(self, block: Block, matrix: Matrix) -> None:
        """An expert that no token was sent to goes with the others; anything else should have been seen."""
        if matrix.experts is None:
            raise never_multiplied(block, matrix)
        self._place(matrix, matrix.name)

    def _see(self, name: str, x: Tensor, key: Key) -> None:
        if name not in self._leaders:
            leader, _ = self._passing.setdefault(key, (name, x))
            self._leaders[name] = leader
            self._place(self._matrices[name], leader)
        if self._leaders[name] == name and name not in self._needless and self._matrices[name].experts is None:
            of_batch(self.inputs[name], self._batch).append(self._shelf.put(x))

    def _place(self, matrix: Matrix, leader: str) -> None:
        """Put a matrix that is seen for the first time into its stage."""
        for stage in self.stages:
            is_alike = any(other.parameter == matrix.parameter for other in stage.matrices)
            if leader in stage.groups or is_alike or (stage.has_experts and matrix.experts is not None):
                stage.groups.setdefault(leader, []).append(matrix)
                return
        self.stages.append(Stage({leader: [matrix]}))

    def _add(self, name: str, _x: Tensor, total: Tensor) -> None:
        of_batch(self.sums[name], self._batch).append(self._shelf.put(total))


def of_batch(batches: list[list[Tensor]], batch: int) -> list[Tensor]:
    """The list of a batch; batches that had none get an empty one."""
    batches += [[] for _ in range(batch + 1 - len(batches))]
    return batches[batch]
