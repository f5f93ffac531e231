"""Reference activations of the dense block, stored as targets for the stages of the pruned one.

Matrices that share inputs are a stage; stages are in the order of their products. Experts of a mixture see different
tokens in the two models: they are one stage and have no dense targets.
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

StoredActivations = dict[str, list[list[Tensor]]]  # by matrix name, [batch][call]
Key = tuple[Any, ...]


@dataclass
class Stage:
    """Matrices pruned on the same run, grouped by shared input under the first matrix (leader) of each group."""

    groups: dict[str, list[Matrix]]

    @property
    def matrices(self) -> list[Matrix]:
        """All matrices of the stage."""
        return [matrix for group in self.groups.values() for matrix in group]

    @property
    def has_experts(self) -> bool:
        """Whether a matrix of the stage is an expert of a mixture."""
        return any(matrix.experts is not None for matrix in self.matrices)


@contextmanager
def watched(
    views: Mapping[Place, str],
    follows: Collection[str],
    seen: Callable[[str, Tensor, Key], None],
    summed: Callable[[str, Tensor, Tensor], None],
) -> Iterator[None]:
    """Report the inputs of matrices inside the context and, for those in `follows`, the sums their products are part of.

    `seen` gets a matrix's name, its inputs, and a key that identifies the inputs. `summed` gets the name, the inputs and
    the sum, float32, at the first addition to the product; at further additions only the addend.
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


class DenseReference:
    """Reference run of the dense block on every batch, which advances the dense stream by one block.

    Sums are stored for matrices whose product is added to something, inputs for the others.
    """

    def __init__(self, block: Block, index: int, stream: Stream, watch: Stopwatch, tick: Callable[[], None]) -> None:
        """Run the loaded block, which is not pruned yet."""
        self.inputs: StoredActivations = defaultdict(list)
        self.sums: StoredActivations = defaultdict(list)
        self.stages: list[Stage] = []
        self._matrices = {matrix.name: matrix for matrix in block.matrices}
        self._leaders: dict[str, str] = {}
        self._store = stream.store
        self._needless: set[str] = set()  # leaders whose inputs are not stored
        self._passing: dict[Key, tuple[str, Tensor]] = {}  # kept alive, so that memory places stay unique
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
        """Return whether sums, not inputs, are stored for a matrix."""
        return matrix in self.sums

    def forget(self, stage: Stage) -> None:
        """Release the activations stored for a stage."""
        for matrix in stage.matrices:
            for remembered in (self.inputs, self.sums):
                self._store.release(kept for batch in remembered.pop(matrix.name, ()) for kept in batch)

    def _forget_inputs_of_sums(self) -> None:
        """Release inputs for which sums are stored for all matrices that share them."""
        needed = {leader for name, leader in self._leaders.items() if name not in self.sums}
        self._needless = set(self.inputs) - needed
        for leader in self._needless:
            self._store.release(kept for batch in self.inputs.pop(leader) for kept in batch)

    def _place_unseen(self, block: Block, matrix: Matrix) -> None:
        """Put an expert that got no tokens into the experts' stage; raise for any other matrix."""
        if matrix.experts is None:
            raise never_multiplied(block, matrix)
        self._place(matrix, matrix.name)

    def _see(self, name: str, x: Tensor, key: Key) -> None:
        if name not in self._leaders:
            leader, _ = self._passing.setdefault(key, (name, x))
            self._leaders[name] = leader
            self._place(self._matrices[name], leader)
        if self._leaders[name] == name and name not in self._needless and self._matrices[name].experts is None:
            of_batch(self.inputs[name], self._batch).append(self._store.put(x))

    def _place(self, matrix: Matrix, leader: str) -> None:
        """Add a matrix to its stage, or to a new one."""
        for stage in self.stages:
            is_alike = any(other.parameter == matrix.parameter for other in stage.matrices)
            if leader in stage.groups or is_alike or (stage.has_experts and matrix.experts is not None):
                stage.groups.setdefault(leader, []).append(matrix)
                return
        self.stages.append(Stage({leader: [matrix]}))

    def _add(self, name: str, _x: Tensor, total: Tensor) -> None:
        of_batch(self.sums[name], self._batch).append(self._store.put(total))


def of_batch(batches: list[list[Tensor]], batch: int) -> list[Tensor]:
    """Return the list of a batch, appending empty lists as far as that batch."""
    batches += [[] for _ in range(batch + 1 - len(batches))]
    return batches[batch]
