"""Input statistics of all matrices of one block, measured in a single pass over the samples.

Matrices that share an input (q, k, v; gate, up) are those multiplied with the identical tensor on their first call;
each shared input is measured once, at its first matrix.

Experts of a mixture are measured on the tokens routed to them, one sample after another (the stream holds one sample per
batch where there are experts), so that the result does not depend on the batching. Where a family passes all tokens to
all experts and zeroes those that are not routed, rows of zeros are not counted as tokens.

Rule for experts that see too few tokens: an expert that saw fewer than `MIN_TOKENS` in the whole calibration set is
also run on all tokens of its mixture, whatever the router says, in as many samples as needed, from the first on. These
are plausible inputs, and its hidden activations on them measure its second matrix's inputs; statistics of a handful of
tokens, or of other experts, whose inner coordinates have another meaning, would be less representative.

Axes:   x (samples of a batch, length, in), or the same flattened to (tokens, in) by some families
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from service.contract.engine_sizes import EXAMPLES
from worker.engine.activations.batches import Stream
from worker.engine.activations.experts import forced_expert
from worker.engine.activations.matmul_tracing import Place, Products, place
from worker.engine.activations.statistics import InputStatistics
from worker.engine.errors import ArchitectureUnsupported, NumericalFailure
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block
from worker.engine.report import Part, Stopwatch

MIN_TOKENS = 64


def measure(
    block: Block,
    index: int,
    stream: Stream,
    *,
    matrices: Sequence[Matrix],
    with_gram: bool,
    watch: Stopwatch,
    tick: Callable[[], None],
) -> dict[str, InputStatistics]:
    """Return the input statistics of the given matrices of block `index` (loaded), by matrix name.

    Matrices that share an input share the object. Raises NumericalFailure if an input is not finite,
    ArchitectureUnsupported if a matrix is never multiplied with inputs.
    """
    meter = _Meter(block, index, stream, matrices, with_gram=with_gram, watch=watch)
    for batch in range(len(stream.states)):
        meter.run(batch)
        tick()
    for expert in _starved(matrices, meter.measured):
        _show_more(block, expert, meter, tick)
    for matrix in matrices:
        if matrix.name not in meter.measured:
            raise never_multiplied(block, matrix)
        check_finite(matrix, meter.measured[matrix.name])
    return meter.measured


def check_finite(matrix: Matrix, inputs: InputStatistics) -> None:
    """Raise NumericalFailure if an input of the matrix was NaN or infinite."""
    if not inputs.norm.isfinite().all():
        raise NumericalFailure(f"The inputs of {matrix.name} hold NaN or infinite values.")


def never_multiplied(block: Block, matrix: Matrix) -> ArchitectureUnsupported:
    """Return the error for a matrix that is never multiplied with inputs."""
    return ArchitectureUnsupported(f"{matrix.name} of {type(block.module).__name__} is never multiplied with inputs.")


def _starved(all_matrices: Sequence[Matrix], measured: dict[str, InputStatistics]) -> dict[tuple[str, int], list[Matrix]]:
    """Return the matrices of the experts that saw too few tokens, by mixture and expert number."""
    starved: dict[tuple[str, int], list[Matrix]] = {}
    for matrix in all_matrices:
        if matrix.experts is not None and matrix.index is not None:
            starved.setdefault((matrix.experts, matrix.index), []).append(matrix)
    return {
        expert: matrices
        for expert, matrices in starved.items()
        if any(matrix.name not in measured or measured[matrix.name].tokens < MIN_TOKENS for matrix in matrices)
    }


def _show_more(block: Block, expert: tuple[str, int], meter: "_Meter", tick: Callable[[], None]) -> None:
    """Run samples with every expert of the mixture replaced by this one, until it has seen enough tokens."""
    mixture, number = expert
    with forced_expert(block, mixture, number) as views:
        for batch in range(meter.batches):
            meter.run(batch, views)
            tick()
            names = set(views.values())
            if all(name in meter.measured and meter.measured[name].tokens >= MIN_TOKENS for name in names):
                return


class _AllSeen(Exception):
    """Signal that the last input of the block is measured, which ends the pass early."""


class _Meter:
    """Collector that adds each shared input to its statistics once."""

    def __init__(
        self, block: Block, index: int, stream: Stream, matrices: Sequence[Matrix], *, with_gram: bool, watch: Stopwatch
    ) -> None:
        self.measured: dict[str, InputStatistics] = {}
        self.batches = len(stream.states)
        self._block = block
        self._index = index
        self._stream = stream
        self._with_gram = with_gram
        self._watch = watch
        self._views = {place(matrix.read(block.module)): matrix.name for matrix in matrices}
        self._experts = {matrix.name for matrix in matrices if matrix.experts is not None}
        self._leaders: list[str] = []  # first matrix of each shared input, in call order
        self._passing: dict[tuple[Any, ...], tuple[Tensor, InputStatistics]] = {}  # kept alive, so that memory places stay unique
        self._batch = 0

    def run(self, batch: int, views: dict[Place, str] | None = None) -> None:
        """Run one batch, tracing all matrices or those in `views`. Without experts, stop after the last input is measured."""
        self._batch = batch
        try:
            with self._watch.time(Part.FORWARD), Products(self._views if views is None else views, self.see):
                self._stream.run(self._block.module, self._index, batch)
        except _AllSeen:
            pass
        finally:
            self._passing.clear()

    def see(self, name: str, x: Tensor, key: tuple[Any, ...], is_slice: bool) -> None:
        """Record a product of the matrix with inputs (..., in)."""
        if name in self._experts and is_slice:
            x = x[x.any(dim=-1)]
        if x.numel() == 0:
            return
        if name not in self.measured:
            self._find_group(name, x, key)
        elif name in self._leaders:
            self._add(self.measured[name], x)
            complete = self._batch > 0 and not self._experts and len(self.measured) == len(self._views)
            if complete and name == self._leaders[-1]:
                raise _AllSeen

    def _find_group(self, name: str, x: Tensor, key: tuple[Any, ...]) -> None:
        if key not in self._passing:
            statistics = self._new_statistics(x)
            self._passing[key] = (x, statistics)
            self._leaders.append(name)
            self._add(statistics, x)
        self.measured[name] = self._passing[key][1]

    def _new_statistics(self, x: Tensor) -> InputStatistics:
        examples = 0 if self._with_gram else -(-EXAMPLES // self._stream.samples)
        return InputStatistics(x.shape[-1], device=x.device, with_gram=self._with_gram, examples_per_sample=examples)

    def _add(self, statistics: InputStatistics, x: Tensor) -> None:
        with self._watch.time(Part.STATISTICS):
            tokens = x.numel() // x.shape[-1]
            samples = self._stream.sizes[self._batch]
            whole = tokens == samples * self._stream.length
            statistics.add(x.reshape(samples, -1, x.shape[-1]) if whole else x.reshape(1, tokens, -1))
