"""Imitating the dense model: what each matrix of a pruned block should give, so that earlier errors are made up for.

The weights are chosen for the inputs that they will really get, and for outputs between two wishes: those of the dense
weights on these inputs (which alone lets errors pile up from block to block) and those of the dense model (which alone
asks for more than a few calibration tokens can teach). Where the output is added to something, as in the residual
stream, what that lacks against the dense model is part of the wish, too. The asymmetric calibration of GPTAQ (Li et al.,
arXiv:2504.02692) is the idea for the inputs; the middle way and the residual stream are ours.

Axes:    inputs x, x̃ (tokens, in); addends r, r̃ (tokens, out); W, B (out, in); G, K (in, in)
Symbols: x, x̃  inputs of a matrix in the dense model and in the pruned one       r, r̃  what its outputs are added to
         α     the pull of the dense model, 0 to 1
         y     = α(W x + r − r̃) + (1 − α) W x̃, the wanted output
         B     = Σ y x̃ᵀ = W K + R,   K = Σ (αx + (1 − α)x̃) x̃ᵀ,   R = α Σ (r − r̃) x̃ᵀ

A block is done in stages: matrices that share inputs are one, in the order of their products. The dense block is run
once, and what it computes is remembered; the pruned one is run up to each stage in turn, with all stages before it
pruned already. Experts of a mixture see other tokens in the two models: they are one stage and imitate themselves.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.architectures import Block
from worker.engine.linear import product
from worker.engine.matrices import Matrix
from worker.engine.measuring import never_multiplied
from worker.engine.products import Products, place
from worker.engine.report import Part, Stopwatch
from worker.engine.statistics import InputStatistics
from worker.engine.streams import Stream
from worker.engine.sums import Sums

PULL_ON_WEIGHTS = 0.5  # α where the kept weights are updated
PULL_ON_MASKS = 0.25  # α where they stay: a mask alone can make up for less
_Remembered = dict[str, list[list[Tensor]]]  # by the name of a matrix; of every batch, in the order of calls


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


class DenseRun:
    """What the dense block computes of every batch; the dense stream goes one block further."""

    def __init__(self, block: Block, index: int, stream: Stream, watch: Stopwatch, tick: Callable[[], None]) -> None:
        """Run the loaded block, which is not pruned."""
        self.inputs: _Remembered = defaultdict(list)
        self.addends: _Remembered = defaultdict(list)
        self.stages: list[Stage] = []
        self._matrices = {matrix.name: matrix for matrix in block.matrices}
        self._leaders: dict[str, str] = {}
        self._passing: dict[tuple[Any, ...], tuple[str, Tensor]] = {}  # held, so that places stay theirs
        views = {place(matrix.read(block.module)): matrix.name for matrix in block.matrices}
        sums = Sums(self._add)
        for batch in range(len(stream.states)):
            self._batch = batch
            with watch.time(Part.FORWARD), sums, Products(views, self._see, partial(self._follow, sums)):
                stream.step(block.module, index, block.name, batch)
            self._passing.clear()
            sums.forget()
            tick()
        for matrix in block.matrices:
            if matrix.name not in self._leaders:
                self._place_unseen(block, matrix)

    def forget(self, stage: Stage) -> None:
        """Let go of what a stage needed; it is not asked for again."""
        for matrix in stage.matrices:
            self.inputs.pop(matrix.name, None)
            self.addends.pop(matrix.name, None)

    def _place_unseen(self, block: Block, matrix: Matrix) -> None:
        """An expert that no token was sent to goes with the others; anything else should have been seen."""
        if matrix.experts is None:
            raise never_multiplied(block, matrix)
        self._place(matrix, matrix.name)

    def _see(self, name: str, x: Tensor, key: tuple[Any, ...], _is_slice: bool) -> None:
        if name not in self._leaders:
            leader, _ = self._passing.setdefault(key, (name, x))
            self._leaders[name] = leader
            self._place(self._matrices[name], leader)
        if self._leaders[name] == name and self._matrices[name].experts is None:
            _of_batch(self.inputs[name], self._batch).append(x.to("cpu", copy=True))

    def _place(self, matrix: Matrix, leader: str) -> None:
        """Put a matrix that is seen for the first time into its stage."""
        for stage in self.stages:
            is_alike = any(other.parameter == matrix.parameter for other in stage.matrices)
            if leader in stage.groups or is_alike or (stage.has_experts and matrix.experts is not None):
                stage.groups.setdefault(leader, []).append(matrix)
                return
        self.stages.append(Stage({leader: [matrix]}))

    def _follow(self, sums: Sums[str], name: str, made: Tensor) -> None:
        if self._matrices[name].experts is None:
            sums.follow(made, name)

    def _add(self, name: str, addend: Tensor) -> None:
        _of_batch(self.addends[name], self._batch).append(addend.to("cpu", copy=True))


def _of_batch(batches: list[list[Tensor]], batch: int) -> list[Tensor]:
    """The list of a batch; batches that had none get an empty one."""
    batches += [[] for _ in range(batch + 1 - len(batches))]
    return batches[batch]


class _AllSeen(Exception):
    """Whatever the stage needs has passed."""


class StageRun:
    """The statistics of a stage's inputs in the pruned model, and how they differ from the dense one's."""

    def __init__(self, block: Block, index: int, stage: Stage, stream: Stream, dense: DenseRun, pull: float) -> None:
        """Nothing is run yet; the block is loaded, and the stages before this one are pruned. `pull` is α."""
        self.inputs: dict[str, InputStatistics] = {}
        self._block, self._index, self._stage, self._stream = block, index, stage, stream
        self._dense, self._pull = dense, pull
        self._mixed: dict[str, Tensor] = {}  # Kᵀ, by leader
        self._offsets: dict[str, Tensor] = {}  # R, by matrix
        self._incomparable: set[str] = set()  # leaders and matrices whose tokens are not those of the dense model
        self._leaders = {matrix.name: leader for leader, group in stage.groups.items() for matrix in group}
        self._current: dict[str, Tensor] = {}  # the inputs of the product that is being made

    def run(self, watch: Stopwatch, tick: Callable[[], None]) -> None:
        """Every batch, as far as this stage."""
        self._watch = watch
        sums = Sums(self._add)  # not an attribute: a circle of references would keep all of this alive
        views = {place(matrix.read(self._block.module)): matrix.name for matrix in self._stage.matrices}
        for batch in range(len(self._stream.states)):
            self._open = {
                ("input", leader): len(_of_batch(self._dense.inputs[leader], batch)) for leader in self._stage.groups
            } | {("sum", name): len(_of_batch(self._dense.addends[name], batch)) for name in self._leaders}
            self._batch, self._passed = batch, dict.fromkeys(self._open, 0)
            try:
                with watch.time(Part.FORWARD), sums, Products(views, self._see, partial(self._follow, sums)):
                    self._stream.run(self._block.module, self._index, batch)
            except _AllSeen:
                pass
            sums.forget()
            tick()
        self._dense.forget(self._stage)

    def wanted(self, matrix: Matrix, weight: Tensor) -> Tensor | None:
        """B (out, in) for the dense weights (out, in) of a matrix; None stands for W G: its tokens cannot be compared."""
        leader = self._leaders[matrix.name]
        if leader in self._incomparable or leader not in self._mixed:
            return None
        wanted = product(weight, self._mixed[leader])
        offset = self._offsets.get(matrix.name)
        return wanted if offset is None or matrix.name in self._incomparable else wanted + offset

    def _see(self, name: str, x: Tensor, _key: tuple[Any, ...], _is_slice: bool) -> None:
        self._current[name] = x
        if name in self._stage.groups:
            with self._watch.time(Part.STATISTICS):
                self._add_input(name, x, self._next(("input", name), self._dense.inputs[name]))
            self._end_if_complete()

    def _follow(self, sums: Sums[tuple[str, Tensor]], name: str, made: Tensor) -> None:
        sums.follow(made, (name, self._current[name]))

    def _add(self, tag: tuple[str, Tensor], addend: Tensor) -> None:
        name, x = tag
        dense = self._next(("sum", name), self._dense.addends[name])
        if dense is None or dense.shape != addend.shape:
            self._incomparable.add(name)
            return
        with self._watch.time(Part.STATISTICS):
            lack = dense.to(addend.device).float() - addend.float()
            for missing, seen in zip(self._samples(lack), self._samples(x), strict=True):
                part = self._pull * product(missing.t().contiguous(), seen.t().contiguous())
                self._offsets[name] = part if name not in self._offsets else self._offsets[name].add_(part)
        self._end_if_complete()

    def _next(self, event: tuple[str, str], remembered: list[list[Tensor]]) -> Tensor | None:
        """What the dense run remembers of this event, which is counted."""
        place_in_batch = self._passed[event]
        self._passed[event] += 1
        return remembered[self._batch][place_in_batch] if place_in_batch < self._open[event] else None

    def _add_input(self, leader: str, x: Tensor, dense: Tensor | None) -> None:
        if leader not in self.inputs:
            width = x.shape[-1]
            self.inputs[leader] = InputStatistics(width, device=x.device, with_gram=True, examples_per_sample=0)
            self._mixed[leader] = torch.zeros(width, width, device=x.device)
        statistics = self.inputs[leader]
        if dense is None or dense.shape != x.shape:
            self._incomparable.add(leader)
            dense = x
        mixed = x.float().lerp(dense.to(x.device).float(), self._pull)
        for sample, wish in zip(self._samples(x), self._samples(mixed), strict=True):
            statistics.add(sample[None])
            self._mixed[leader] += product(sample.t().contiguous(), wish.t().contiguous())

    def _samples(self, x: Tensor) -> Tensor:
        """(samples, tokens, width) float32 of a batch; one sample where its tokens are not the batch's."""
        tokens, samples = x.numel() // x.shape[-1], self._stream.sizes[self._batch]
        is_whole = tokens == samples * self._stream.length
        return x.float().reshape(samples if is_whole else 1, -1, x.shape[-1])

    def _end_if_complete(self) -> None:
        if all(self._passed[event] >= count for event, count in self._open.items()):
            raise _AllSeen
