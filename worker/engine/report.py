"""What a run tells: progress while it goes on, and figures of every matrix at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Protocol


@dataclass(frozen=True)
class MatrixReport:
    """One pruned matrix."""

    name: str  # of its tensor in the checkpoint
    shape: tuple[int, int]  # (out, in)
    sparsity: float  # zeros / weights, as counted in the file
    error_start: float  # ‖(W − W′)X‖² / ‖WX‖² with the first mask
    error: float  # the same with the final mask
    swaps: int  # weights pruned in the final mask and not in the first
    seconds: float  # for its masks


@dataclass(frozen=True)
class SparsityReport:
    """A finished run."""

    sparsity: float  # zeros / weights over all pruned matrices
    coverage: float  # weights of pruned matrices / parameters of the blocks, 0 to 1
    matrices: tuple[MatrixReport, ...]
    seconds: dict[str, float]  # per part of the work: forward, statistics, masks, io

    @classmethod
    def of(cls, matrices: Sequence[MatrixReport], *, block_parameters: int, seconds: dict[str, float]) -> "SparsityReport":
        """The figures of the whole from those of its matrices."""
        sizes = [out * width for out, width in (matrix.shape for matrix in matrices)]
        zeros = sum(matrix.sparsity * size for matrix, size in zip(matrices, sizes, strict=True))
        return cls(zeros / sum(sizes), sum(sizes) / block_parameters, tuple(matrices), dict(seconds))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Observer(Protocol):
    """Who watches a run. Any method may raise: the exception passes through and stops the run."""

    def block_started(self, index: int, total: int) -> None:
        """Block `index`, counted from 0, is taken up."""

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport]) -> None:
        """The block is done and, in a pruning run, its matrices are written; none in an evaluation."""

    def tick(self) -> None:
        """Called for every batch and every matrix, so about every second of work or more often."""


class Silent:
    """The observer that nobody asked for."""

    def block_started(self, index: int, total: int) -> None: ...

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport]) -> None: ...

    def tick(self) -> None: ...


class Part(StrEnum):
    """The parts of the work that are timed."""

    FORWARD = "forward"
    STATISTICS = "statistics"
    MASKS = "masks"
    IO = "io"


class Stopwatch:
    """Seconds per part. A part inside another stops the outer one's clock, so that the parts add up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(map(str, Part), 0.0)
        self._running: list[Part] = []
        self._since = 0.0

    @contextmanager
    def time(self, part: Part) -> Iterator[None]:
        """Count what happens inside for `part`."""
        self._settle()
        self._running.append(part)
        try:
            yield
        finally:
            self._settle()
            self._running.pop()

    def _settle(self) -> None:
        now = perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
