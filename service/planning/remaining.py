"""Time left of a running job: from past runs at first, from its own finished blocks as soon as there are two."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Final, Self

from service.contract.states import Stage
from service.contract.work import Work
from service.planning.estimates import BLOCKS_BEFORE, Estimator, Seconds

_BEFORE_PRUNING: Final = (None, Stage.RESOLVING, Stage.LOADING)
_OWN_SPREAD: Final = log(1.3)
_STAGE_SPREAD: Final = log(1.3)
_AFTER: Final = 0.3
"""Share of the fixed time after the evaluation."""


@dataclass(frozen=True)
class OwnBlocks:
    """Blocks that this attempt has pruned, by the worker's last report."""

    finished: int
    """Without those of earlier attempts."""
    seconds: float
    """Mean time of one."""
    left: int
    """Blocks left, with the running one."""
    elapsed: float = 0.0
    """Time of the running one."""

    @classmethod
    def of(cls, progress: Mapping[str, Any]) -> Self | None:
        """Return the blocks of a stored progress report; None before the first, and from workers of earlier versions."""
        finished, seconds = progress.get("own_blocks"), progress.get("block_seconds")
        if not finished or seconds is None:
            return None
        return cls(finished, seconds, progress["total"] - progress["done"], progress.get("block_elapsed") or 0.0)


@dataclass(frozen=True)
class Running:
    """Progress of a run, by the database's clock."""

    stage: Stage | None
    elapsed: float
    """Seconds since the claim."""
    stage_elapsed: float
    """Seconds since the stage began."""
    stage_left: float | None
    """Seconds left of the stage, as last reported by the worker."""
    updated_ago: float
    """Seconds since that report."""
    work: Work | None
    own: OwnBlocks | None = None

    @property
    def counts_own(self) -> bool:
        """Whether enough own blocks are finished to estimate from them."""
        return self.own is not None and self.own.finished >= BLOCKS_BEFORE


def seconds_left(running: Running, rates: Estimator) -> Seconds | None:
    """Estimate the time until the run ends; None if unknown."""
    work = running.work
    if work is None:  # the amount of work is not determined yet
        return None
    if running.stage in _BEFORE_PRUNING:
        whole = rates.run(work)
        return whole and whole.after(running.elapsed)
    if running.stage == Stage.PRUNING:
        return _left_of_pruning(running, rates, work)
    if running.stage == Stage.EVALUATING:
        stage = _left_of_stage(running, rates.evaluating(work) if rates.reaches_evaluating(work) else None)
        return stage and stage.plus(rates.fixed(work).times(_AFTER))
    return _left_of_stage(running, rates.fixed(work).times(_AFTER))


def _left_of_pruning(running: Running, rates: Estimator, work: Work) -> Seconds | None:
    expected, after = rates.pruning(work), rates.evaluating(work)
    if running.own is None or not running.counts_own:
        if not rates.reaches(work):
            return None
        stage = expected.after(running.stage_elapsed)
    else:
        own = running.own
        in_block = min(own.seconds, own.elapsed + running.updated_ago)  # a block that takes longer shortens no other
        stage = Seconds.around(own.seconds * own.left, _OWN_SPREAD).after(in_block)
        pace = own.seconds * max(work.blocks, 1) / expected.value if work.blocks and expected.value else 1.0
        after = after.times(sqrt(pace) if rates.reaches_evaluating(work) else pace)
    return stage.plus(after).plus(rates.fixed(work).times(_AFTER))


def _left_of_stage(running: Running, expected: Seconds | None) -> Seconds | None:
    """Return what is left of evaluation or publishing: by the worker's report, else by past runs."""
    if running.stage_left is not None:
        return Seconds.around(running.stage_left, _STAGE_SPREAD).after(running.updated_ago)
    return expected and expected.after(running.stage_elapsed)
