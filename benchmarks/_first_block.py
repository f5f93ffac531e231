"""Runs of the engine that stop after their first block, which is timed or counted."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from worker.engine import sparsify
from worker.engine.report import NullObserver


class _BlockDone(Exception):
    """Signal that the block is finished."""


class _Boundaries(NullObserver):
    """Observer that reports the start and the end of the first block, and stops the run there."""

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report

    def block_started(self, *_: Any) -> None:
        """Report the start."""
        self._report()

    def block_finished(self, *_: Any, **__: Any) -> None:
        """Report the end and stop the run."""
        self._report()
        raise _BlockDone


def prune_first_block(report: Callable[[], None], *run: Any, **options: Any) -> None:
    """Call `sparsify` with `run` and `options`, and `report` when its first block starts and when it ends."""
    with suppress(_BlockDone):
        sparsify(*run, observer=_Boundaries(report), **options)
