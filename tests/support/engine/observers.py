"""Observers of an engine run."""

from collections.abc import Sequence
from typing import Any

from worker.engine import MatrixReport


class Watcher:
    """Notes all it is told; stops the run at the n-th tick, if asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.ticks = 0
        self.stop_at = stop_at

    def block_started(self, index: int, total: int) -> None:
        self.told.append(("started", index, total))

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        assert not resumed
        self.told.append(("finished", index, total, tuple(matrices)))

    def matrix_pruned(self, total: int) -> None: ...

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks == self.stop_at:
            raise InterruptedError("enough")
