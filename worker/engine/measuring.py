"""Measuring the inputs of all matrices of one block in a single pass over the samples.

Matrices that share an input (q, k, v; gate, up) are found by looking which of them are handed the very same tensor the
first time they are called; each shared input is then measured once, at its first matrix.

Axes:   x (samples of a batch, length, in), or the same flattened to (tokens, in) by some families
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from worker.engine.architectures import Block
from worker.engine.calibration import Stream
from worker.engine.errors import ArchitectureUnsupported, NumericalFailure
from worker.engine.report import Part, Stopwatch
from worker.engine.statistics import InputStatistics

_EXAMPLES = 1024  # tokens on which errors are estimated where no Gram matrix is summed


def measure(
    block: Block, index: int, stream: Stream, *, with_gram: bool, watch: Stopwatch, tick: Callable[[], None]
) -> dict[str, InputStatistics]:
    """The statistics of the input of every matrix of block `index` (loaded), by the matrix's path in the block.

    Matrices that share an input share the object. Raises NumericalFailure if an input is not finite,
    ArchitectureUnsupported if a matrix is never called as a layer.
    """
    meter = _Meter(stream, with_gram=with_gram, watch=watch, wanted=len(block.matrices))
    handles = [_layer(block, path).register_forward_pre_hook(partial(meter.see, path)) for path in block.matrices]
    try:
        for batch in range(len(stream.states)):
            with watch.time(Part.FORWARD):
                meter.run(block.module, index, batch)
            tick()
    finally:
        for handle in handles:
            handle.remove()
    for path, name in block.matrices.items():
        if path not in meter.measured:
            raise ArchitectureUnsupported(f"{name} of {type(block.module).__name__} is never called as a layer.")
        if not meter.measured[path].norm.isfinite().all():
            raise NumericalFailure(f"The inputs of {name} hold NaN or infinite values.")
    return meter.measured


def _layer(block: Block, path: str) -> nn.Module:
    return block.module.get_submodule(path)


class _AllSeen(Exception):
    """The last input of the block is measured; what would follow in this pass is of no use."""


class _Meter:
    """Looks at the inputs as they pass and adds each shared one to its statistics once."""

    def __init__(self, stream: Stream, *, with_gram: bool, watch: Stopwatch, wanted: int) -> None:
        self.measured: dict[str, InputStatistics] = {}
        self._leaders: list[str] = []  # the first matrix of each shared input, in the order of the calls
        self._stream = stream
        self._with_gram = with_gram
        self._watch = watch
        self._wanted = wanted
        self._passing: dict[tuple[int, int], tuple[Tensor, InputStatistics]] = {}  # held, so that ids stay theirs
        self._batch = 0

    def run(self, module: nn.Module, index: int, batch: int) -> None:
        """One batch; from the second on it ends where the last input is measured."""
        self._batch = batch
        try:
            self._stream.run(module, index, batch)
        except _AllSeen:
            pass
        finally:
            self._passing.clear()

    def see(self, path: str, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        """A forward pre-hook of the matrix at `path`."""
        x = arguments[0]
        if path not in self.measured:
            self._find_group(path, layer, x)
        elif path in self._leaders:
            self._add(self.measured[path], x)
            complete = self._batch > 0 and len(self.measured) == self._wanted
            if complete and path == self._leaders[-1]:
                raise _AllSeen

    def _find_group(self, path: str, layer: nn.Module, x: Tensor) -> None:
        key = (id(x), x._version)
        if key not in self._passing:
            statistics = self._new_statistics(layer, x)
            self._passing[key] = (x, statistics)
            self._leaders.append(path)
            self._add(statistics, x)
        self.measured[path] = self._passing[key][1]

    def _new_statistics(self, layer: nn.Module, x: Tensor) -> InputStatistics:
        assert isinstance(layer, nn.Linear)
        examples = 0 if self._with_gram else -(-_EXAMPLES // self._stream.samples)
        return InputStatistics(layer.in_features, device=x.device, with_gram=self._with_gram, examples_per_sample=examples)

    def _add(self, statistics: InputStatistics, x: Tensor) -> None:
        with self._watch.time(Part.STATISTICS):
            tokens = x.numel() // x.shape[-1]
            samples = len(self._stream.states[self._batch])
            whole = tokens == samples * self._stream.length
            statistics.add(x.reshape(samples, -1, x.shape[-1]) if whole else x.reshape(1, tokens, -1))
