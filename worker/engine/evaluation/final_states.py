"""Forward pass of windows of text through all blocks, one block's weights in memory at a time, and its final hidden states.

Axes:   windows (windows, L) int64; hidden states after the last block (windows of a batch, L, width), see `Stream`
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Self, TypeVar

from torch import Tensor

from worker.engine.activations.batches import Stream
from worker.engine.activations.capture import check_tokens, record, samples_of_largest_batch, samples_per_batch
from worker.engine.activations.store import give_back_memory
from worker.engine.device_memory import retry_with_half_batch_on_oom
from worker.engine.model.loading import choose_device, loaded_block
from worker.engine.model.structure import Architecture, load_structure
from worker.engine.report import NullObserver, Observer

Result = TypeVar("Result")


@dataclass(frozen=True)
class End:
    """State after the last block: all windows, with what the head needs."""

    arch: Architecture
    stream: Stream
    windows: Tensor
    tokens_per_batch: int
    tick: Callable[[], None]


@dataclass(frozen=True)
class FinalStates:
    """Hidden states after the last block of the batches that contain the first `count` windows."""

    states: list[Tensor]
    sizes: list[int]  # windows of each batch
    count: int

    @classmethod
    def first(cls, stream: Stream, count: int) -> Self:
        """Take them from a stream after the last block, without a copy; the stream must not be advanced further."""
        batches = _batches_with(stream.sizes, count)
        return cls(stream.states[:batches], stream.sizes[:batches], min(count, sum(stream.sizes)))


def at_the_end(
    source: Path,
    windows: Tensor,
    finish: Callable[[End], Result],
    *,
    device: str,
    observer: Observer | None,
    scratch: Path | None,
    first: int | None = None,
) -> Result:
    """Send the windows through all blocks of the checkpoint in the folder `source` and return the result of `finish`.

    Args:
        windows: (windows, L) int64 token ids, L ≥ 2.
        device: "auto" (a GPU if there is one), "cpu", "cuda", ...
        observer: notified of every block; may stop the run by raising.
        scratch: a folder for activations that do not fit into memory; without one they must fit.
        first: run only the batches that contain the first `first` windows; their states are bit-identical to those of a
            run with all windows.

    Raises:
        ValueError: the windows do not fit the model.
        FileNotFoundError, ModelUnsafe, ArchitectureUnsupported: see `outline`.
        NumericalFailure: activations that are not finite.
        DeviceMemoryExhausted: the device has not enough memory, even for half a batch.
    """
    watching, target = observer or NullObserver(), choose_device(device)

    def attempt(tokens_per_batch: int) -> Result:
        arch = load_structure(source)
        check_tokens(arch, windows, at_least=2)
        each = samples_per_batch(arch, windows.shape[1], tokens_per_batch)
        taken = windows if first is None else windows[: -(-first // each) * each]
        stream = record(arch, taken, target, watching.tick, tokens_per_batch=tokens_per_batch, scratch=scratch)
        _pass_blocks(arch, stream, watching)
        return finish(End(arch, stream, taken, tokens_per_batch, watching.tick))

    def largest_batch(tokens_per_batch: int) -> int:
        return samples_of_largest_batch(load_structure(source), windows, tokens_per_batch)

    try:
        return retry_with_half_batch_on_oom(attempt, target, largest_batch)
    finally:
        give_back_memory(device=target)


def _pass_blocks(arch: Architecture, stream: Stream, observer: Observer) -> None:
    total = len(arch.blocks)
    for index, block in enumerate(arch.blocks):
        observer.block_started(index, total)
        with loaded_block(arch, block, stream.device) as layer:
            stream.advance(layer, index, block.name, observer.tick)
        observer.block_finished(index, total, ())


def _batches_with(sizes: list[int], count: int) -> int:
    """Return the number of leading batches that together contain `count` windows."""
    return 1 + sum(1 for so_far in accumulate(sizes[:-1]) if so_far < count)
