"""Asymmetric calibration: target outputs of each matrix of a pruned block that compensate errors of earlier pruning.

The weights are fitted to the inputs of the pruned model, and to targets interpolated between the output of the dense
weights on these inputs (alone, errors accumulate from block to block) and the output of the dense model (alone, it
overfits a few calibration tokens). Where the output is added to something, as in the residual stream, the error of the
addend is part of the target, too. The inputs follow the asymmetric calibration of GPTAQ (Li et al., arXiv:2504.02692);
the interpolation and the residual stream are our additions.

Axes:    inputs x, x̃ (tokens, in); addends r, r̃ and sums s, s̃ (tokens, out); W, B (out, in); G, K (in, in)
Symbols: x, x̃  inputs of a matrix in the dense model and in the pruned one       r, r̃  what its outputs are added to
         s, s̃  W x + r, W x̃ + r̃; a bias is in both
         α     interpolation weight of the dense model's output, 0 to 1
         y     = α(W x + r − r̃) + (1 − α) W x̃ = W x̃ + α(s − s̃), the target output
         B     = Σ y x̃ᵀ: with addends W G + α Σ (s − s̃) x̃ᵀ, without W K, K = Σ (αx + (1 − α)x̃) x̃ᵀ

A block is pruned in stages, see `dense_reference`. The dense block is run once and its activations are stored; the pruned
one is run up to each stage in turn, with all earlier stages pruned already and their products cached (`partial_forward`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import Tensor

from worker.engine.activations.batches import Stream
from worker.engine.activations.dense_reference import DenseReference, Key, Stage, of_batch, watched
from worker.engine.activations.matmul_tracing import place
from worker.engine.activations.partial_forward import PartialForward
from worker.engine.activations.statistics import InputStatistics
from worker.engine.linear import product
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block
from worker.engine.report import Part, Stopwatch

ALPHA_UPDATE = 0.5  # α where the kept weights are updated
ALPHA_MASK_ONLY = 0.25  # α where they are not: a mask alone compensates less
_Event = tuple[str, str]  # "input" and its leader, or "sum" and its matrix


class _AllSeen(Exception):
    """Signal that all activations the stage needs have been seen."""


class StageTargets:
    """Statistics of a stage's inputs in the pruned model, and their deviation from the dense one's."""

    def __init__(
        self,
        block: Block,
        index: int,
        stage: Stage,
        stream: Stream,
        dense: DenseReference,
        partial_forward: PartialForward,
        pull: float,
    ) -> None:
        """Take a loaded block whose earlier stages are pruned, without running it. `pull` is α."""
        self.inputs: dict[str, InputStatistics] = {}
        self._block, self._index, self._stage, self._stream = block, index, stage, stream
        self._dense, self._partial_forward, self._pull = dense, partial_forward, pull
        self._mixed: dict[str, Tensor] = {}  # Kᵀ, by leader
        self._offsets: dict[str, Tensor] = {}  # α Σ (s − s̃) x̃ᵀ, by matrix
        self._incomparable: set[str] = set()  # leaders and matrices whose tokens differ from the dense model's
        self._turned: tuple[Tensor | None, list[Tensor]] = (None, [])  # the inputs last measured, and their transposed samples
        self._leaders = {matrix.name: leader for leader, group in stage.groups.items() for matrix in group}
        self._views = {place(matrix.read(block.module)): matrix.name for matrix in stage.matrices}

    def run(self, watch: Stopwatch, tick: Callable[[], None]) -> None:
        """Run every batch up to this stage."""
        self._watch = watch
        with watch.time(Part.FORWARD):
            context = self._partial_forward.checked_context(self._stream, self._index, self._first_batch)
        for batch in range(len(self._stream.states)):
            self._pass(batch, context(batch), self._see, self._add)
            tick()
        self._dense.forget(self._stage)

    def target_products(self, matrix: Matrix, weight: Tensor) -> Tensor | None:
        """Return B (out, in) for the dense weights (out, in) of a matrix; None if its tokens are not comparable: use W G."""
        leader = self._leaders[matrix.name]
        if matrix.name in self._incomparable or leader in self._incomparable:
            return None
        gram = self.inputs[leader].gram
        assert gram is not None
        if matrix.name in self._offsets:
            return product(weight, gram) + self._offsets[matrix.name]
        return product(weight, self._mixed[leader]) if leader in self._mixed else None

    def _pass(
        self,
        batch: int,
        context: AbstractContextManager[None],
        see: Callable[[str, Tensor, Key], None],
        add: Callable[[str, Tensor, Tensor], None],
    ) -> None:
        """Run a batch until all events that the dense run stored for it have been seen."""
        dense = self._dense
        self._batch = batch
        self._open: dict[_Event, int] = {
            ("input", leader): len(of_batch(dense.inputs[leader], batch)) for leader in self._stage.groups
        } | {("sum", name): len(of_batch(dense.sums[name], batch)) for name in self._leaders if dense.is_summed(name)}
        self._passed = dict.fromkeys(self._open, 0)
        try:
            with self._watch.time(Part.FORWARD), watched(self._views, self._leaders, see, add), context:
                self._stream.run(self._block.module, self._index, batch)
        except _AllSeen:
            pass
        finally:
            self._turned = (None, [])

    def _first_batch(self, context: AbstractContextManager[None]) -> list[Tensor]:
        """Return all activations of the first batch that the stage needs."""
        found: list[Tensor] = []

        def see(name: str, x: Tensor, _key: Key) -> None:
            if name in self._stage.groups:
                found.append(x.clone())
                self._count("input", name)
                self._end_if_complete()

        def add(name: str, _x: Tensor, total: Tensor) -> None:
            found.append(total.clone())
            self._count("sum", name)
            self._end_if_complete()

        self._pass(0, context, see, add)
        return found

    def _see(self, name: str, x: Tensor, _key: Key) -> None:
        if name not in self._stage.groups:
            return
        for matrix in self._stage.groups[name]:
            if self._dense.is_summed(matrix.name):
                self._partial_forward.cache_inputs(matrix.name, self._batch, x)
        with self._watch.time(Part.STATISTICS):
            self._add_input(name, x)
        self._end_if_complete()

    def _add(self, name: str, x: Tensor, total: Tensor) -> None:
        dense = self._remembered("sum", name)
        if dense is None or dense.shape != total.shape:
            self._incomparable.add(name)
            return
        with self._watch.time(Part.STATISTICS):
            lack = dense.to(total.device, non_blocking=True) - total
            for missing, seen in zip(self._samples(lack), self._turned_samples(x), strict=True):
                part = self._pull * product(missing.t().contiguous(), seen)
                self._offsets[name] = part if name not in self._offsets else self._offsets[name].add_(part)
        self._end_if_complete()

    def _count(self, kind: str, name: str) -> int:
        """Count an event; return the number of earlier events of this kind in this batch."""
        passed = self._passed.get((kind, name), 0)
        self._passed[kind, name] = passed + 1
        return passed

    def _remembered(self, kind: str, name: str) -> Tensor | None:
        """Count an event; return the dense run's tensor for it, or None if it has none."""
        place_in_batch = self._count(kind, name)
        remembered = self._dense.inputs[name] if kind == "input" else self._dense.sums[name]
        return remembered[self._batch][place_in_batch] if place_in_batch < self._open.get((kind, name), 0) else None

    def _add_input(self, leader: str, x: Tensor) -> None:
        if leader not in self.inputs:
            self.inputs[leader] = InputStatistics(x.shape[-1], device=x.device, with_gram=True, examples_per_sample=0)
        dense = self._remembered("input", leader)
        turned = [sample.float() for sample in self.inputs[leader].add(self._samples(x))]
        self._turned = (x, turned)
        if all(self._dense.is_summed(matrix.name) for matrix in self._stage.groups[leader]):
            return
        if dense is None or dense.shape != x.shape:
            self._incomparable.add(leader)
            return
        mixed = x.float().lerp(dense.to(x.device, non_blocking=True).float(), self._pull)
        for seen, wish in zip(turned, self._samples(mixed), strict=True):
            part = product(seen, wish.t().contiguous())
            self._mixed[leader] = part if leader not in self._mixed else self._mixed[leader].add_(part)

    def _samples(self, x: Tensor) -> Tensor:
        """Return x as (samples, tokens, width); as one sample if its token count is not the batch's."""
        tokens, samples = x.numel() // x.shape[-1], self._stream.sizes[self._batch]
        is_whole = tokens == samples * self._stream.length
        return x.reshape(samples if is_whole else 1, -1, x.shape[-1])

    def _turned_samples(self, x: Tensor) -> list[Tensor]:
        """Return each sample as (width, tokens) float32; cached for the inputs last measured."""
        measured, turned = self._turned
        return turned if measured is x else [sample.float().t().contiguous() for sample in self._samples(x)]

    def _end_if_complete(self) -> None:
        if all(self._passed[event] >= count for event, count in self._open.items()):
            raise _AllSeen
