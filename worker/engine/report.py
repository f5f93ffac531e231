"""Reports of a run: progress during it, and metrics of every matrix at the end."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import prod
from statistics import fmean
from time import perf_counter
from typing import Any, Protocol

import torch

from service.contract.matrices import MatrixReport, kind_of


@dataclass(frozen=True)
class Summary:
    """Metrics of several matrices; errors are means over matrices, as each is relative to its own output."""

    sparsity: float  # zeros / weights
    error_start: float
    error_mask: float
    error: float
    swaps: int
    seconds: float

    @classmethod
    def of(cls, matrices: Sequence[MatrixReport]) -> "Summary":
        """Summarise the matrices, at least one."""
        sizes = [prod(matrix.shape) for matrix in matrices]
        return cls(
            sparsity=sum(matrix.sparsity * size for matrix, size in zip(matrices, sizes, strict=True)) / sum(sizes),
            error_start=fmean(matrix.error_start for matrix in matrices),
            error_mask=fmean(matrix.error_mask for matrix in matrices),
            error=fmean(matrix.error for matrix in matrices),
            swaps=sum(matrix.swaps for matrix in matrices),
            seconds=sum(matrix.seconds for matrix in matrices),
        )


@dataclass(frozen=True)
class SparsityReport:
    """Report of a finished pruning run."""

    sparsity: float  # zeros / weights over all pruned matrices
    coverage: float  # weights of pruned matrices / parameters of the blocks, 0 to 1
    matrices: tuple[MatrixReport, ...]
    blocks: tuple[Summary, ...]  # only blocks that have matrices
    matrices_of: dict[int, int]  # number of matrices by index of the block, only blocks that have some
    total: Summary
    warnings: tuple[str, ...]  # reasons not to rely on the result, see `collect_warnings`
    seconds: dict[str, float]  # per part of the work: forward, statistics, masks, updates, io
    source: str = ""  # SHA-256 over the source's files, see `Output.copy_source`

    @classmethod
    def of(
        cls,
        blocks: Sequence[Sequence[MatrixReport]],
        *,
        block_parameters: int,
        seconds: dict[str, float],
    ) -> "SparsityReport":
        """Summarise the metrics of every block's matrices."""
        matrices = [matrix for block in blocks for matrix in block]
        total = Summary.of(matrices)
        return cls(
            sparsity=total.sparsity,
            coverage=sum(prod(matrix.shape) for matrix in matrices) / block_parameters,
            matrices=tuple(matrices),
            blocks=tuple(Summary.of(block) for block in blocks if block),
            matrices_of={index: len(block) for index, block in enumerate(blocks) if block},
            total=total,
            warnings=(),
            seconds=dict(seconds),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report, JSON-ready, with the block of each matrix."""
        content = asdict(self)
        places = [block for block, count in content.pop("matrices_of").items() for _ in range(count)]
        matrices = [
            {**matrix.model_dump(), "block": block, "kind": kind_of(matrix.name)}
            for matrix, block in zip(self.matrices, places, strict=True)
        ]
        blocks = [{"block": block, **summary} for block, summary in zip(self.matrices_of, content["blocks"], strict=True)]
        return {**content, "matrices": matrices, "blocks": blocks}


class Observer(Protocol):
    """Observer of a run. Any method may raise: the exception propagates and stops the run."""

    def block_started(self, index: int, total: int) -> None:
        """Handle the start of block `index`, counted from 0."""

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        """Handle the end of a block; in a pruning run its `matrices` are written, in an evaluation there are none.

        `resumed` is set if the block was restored from an interrupted run.
        """

    def matrix_pruned(self, total: int) -> None:
        """Handle a pruned matrix of the running block, which has `total`; a block from the journal reports none."""

    def tick(self) -> None:
        """Handle a sign of progress; called for every batch and every matrix, at least about once per second."""


class NullObserver:
    """Observer that ignores all events."""

    def block_started(self, index: int, total: int) -> None:
        """Ignore the start of a block."""

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        """Ignore the end of a block."""

    def matrix_pruned(self, total: int) -> None:
        """Ignore a pruned matrix."""

    def tick(self) -> None:
        """Ignore a heartbeat."""


class Part(StrEnum):
    """Timed part of the work."""

    FORWARD = "forward"
    STATISTICS = "statistics"
    MASKS = "masks"
    UPDATES = "updates"
    IO = "io"


class Stopwatch:
    """Stopwatch with seconds per part. A nested part pauses the outer one, so that the parts add up.

    On a GPU it reads the device's clock, by events between the kernels: the host is ahead of the device, and to wait at the end
    of every part would slow both. A part in which the device is idle, such as reading files, counts as long as it lasts.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """Measure work on `device`, by default on the host."""
        self._device = device if device is not None and device.type == "cuda" else None
        self._seconds: dict[str, float] = dict.fromkeys(map(str, Part), 0.0)
        self._running: list[Part] = []
        self._since: Any = 0.0  # perf_counter() or an event, as in `_spans`
        self._spans: deque[tuple[Part, Any, Any]] = deque()  # not counted yet

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds per part; waits for the device."""
        if self._device is not None and self._spans:
            self._spans[-1][2].synchronize()
        self._count_spans()
        return self._seconds

    @contextmanager
    def time(self, part: Part) -> Iterator[None]:
        """Count the time spent in this context for `part`."""
        self._settle()
        self._running.append(part)
        try:
            yield
        finally:
            self._settle()
            self._running.pop()

    def _settle(self) -> None:
        now: Any = perf_counter()
        if self._device is not None:
            now = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            now.record(torch.cuda.current_stream(self._device))
        if self._running:
            self._spans.append((self._running[-1], self._since, now))
        self._since = now
        self._count_spans()

    def _count_spans(self) -> None:
        """Count the spans that the device has passed."""
        while self._spans and (self._device is None or self._spans[0][2].query()):
            part, start, end = self._spans.popleft()
            self._seconds[part] += end - start if self._device is None else start.elapsed_time(end) / 1000
