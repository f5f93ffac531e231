"""Estimates of a job's run time and start, extrapolated from past runs on the same devices; without runs there is none.

Symbols: a run takes  r_t · block parameters · calibration tokens  +  r_w · block parameters  (pruning)
                    + r_e · parameters · evaluated tokens           (evaluating)
                    + r_o · bytes of the model                      (resolving, loading, publishing)
         each rate r is Σ seconds / Σ amount over the newest runs. r_t and r_w use runs with the same kind of recipe if there
         are any, else all runs; r_e and r_o do not depend on the recipe.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from service.contract.states import Stage
from service.contract.work import Work
from service.jobs.timings.repository import Taken

_BEFORE_PRUNING = (None, Stage.RESOLVING, Stage.LOADING)


@dataclass(frozen=True)
class Estimator:
    """Rates in seconds per unit of work; None where no run provides one."""

    jobs: int
    """Number of runs behind the pruning rates."""
    is_same_recipe: bool
    per_token: float
    per_weight: float
    per_evaluated: float | None
    per_byte: float
    mean_seconds: float
    """Mean run time in seconds, regardless of size."""

    def pruning(self, work: Work) -> float:
        """Return the seconds of the pruning stage."""
        return work.block_parameters * (self.per_token * work.calibration_tokens + self.per_weight)

    def evaluating(self, work: Work) -> float | None:
        """Return the seconds of the evaluation stage; None without a rate."""
        size = work.parameters * work.evaluated_tokens
        if not size:
            return 0.0
        return None if self.per_evaluated is None else self.per_evaluated * size

    def other(self, work: Work) -> float:
        """Return the seconds of resolving, loading and publishing."""
        return self.per_byte * work.bytes

    def run(self, work: Work) -> float | None:
        """Return the seconds from the claim to the end."""
        evaluating = self.evaluating(work)
        return None if evaluating is None else self.pruning(work) + evaluating + self.other(work)


def estimator(history: Sequence[Taken], kind: str) -> Estimator | None:
    """Fit the rates for a recipe of this kind; None without runs."""
    alike = [taken for taken in history if taken.recipe == kind]
    pruned = alike or history
    jobs = _total(pruned, lambda taken: taken.jobs)
    if not jobs:
        return None
    return Estimator(
        jobs=int(jobs),
        is_same_recipe=bool(alike),
        per_token=_rate(pruned, lambda taken: taken.token_seconds, lambda taken: taken.tokens) or 0.0,
        per_weight=_rate(pruned, lambda taken: taken.weight_seconds, lambda taken: taken.weights) or 0.0,
        per_evaluated=_rate(history, lambda taken: taken.evaluating_seconds, lambda taken: taken.evaluated),
        per_byte=_rate(history, lambda taken: taken.other_seconds, lambda taken: taken.bytes) or 0.0,
        mean_seconds=_total(history, _all_seconds) / _total(history, lambda taken: taken.jobs),
    )


@dataclass(frozen=True)
class Running:
    """Progress of a run, by the database's clock."""

    stage: Stage | None
    elapsed: float
    """Seconds since the claim."""
    stage_left: float | None
    """Seconds left of the stage, as last reported by the worker."""
    updated_ago: float
    """Seconds since that report."""
    work: Work | None


def seconds_left(running: Running, rates: Estimator | None) -> float | None:
    """Estimate the seconds until the run ends; None if unknown."""
    work = running.work
    if rates is None:
        return None
    if work is None:  # the amount of work is not determined yet
        return max(0.0, rates.mean_seconds - running.elapsed)
    whole, evaluating = rates.run(work), rates.evaluating(work)
    if whole is None or evaluating is None:
        return None
    if running.stage in _BEFORE_PRUNING:
        return max(0.0, whole - running.elapsed)
    left = None if running.stage_left is None else max(0.0, running.stage_left - running.updated_ago)
    own = {Stage.PRUNING: rates.pruning(work), Stage.EVALUATING: evaluating}
    following = {Stage.PRUNING: evaluating}.get(running.stage, 0.0)
    if left is None:
        left = max(0.0, own.get(running.stage, rates.other(work)) - running.updated_ago)
    return left + following + (0.0 if running.stage == Stage.PUBLISHING else rates.other(work) / 2)


def starts_in(*, idle: int, busy: Iterable[float | None], ahead: int, mean_seconds: float | None) -> float | None:
    """Estimate the seconds until a worker claims the job; None if unknown.

    Args:
        idle: number of workers without a job.
        busy: seconds until each of the other workers is idle; None where unknown.
        ahead: number of jobs that are claimed before this one.
        mean_seconds: run time of each of these.
    """
    if ahead < idle:
        return 0.0
    until = list(busy)
    known = [seconds for seconds in until if seconds is not None]
    if len(known) < len(until) or not (known or idle) or (ahead and mean_seconds is None):
        return None
    free = [0.0] * idle + known
    heapq.heapify(free)
    for _ in range(ahead):
        heapq.heappush(free, heapq.heappop(free) + (mean_seconds or 0.0))
    return free[0]


def _all_seconds(taken: Taken) -> float:
    return taken.token_seconds + taken.weight_seconds + taken.evaluating_seconds + taken.other_seconds


def _total(history: Sequence[Taken], part: Callable[[Taken], float]) -> float:
    return sum(map(part, history))


def _rate(history: Sequence[Taken], seconds: Callable[[Taken], float], amount: Callable[[Taken], float]) -> float | None:
    done = _total(history, amount)
    return _total(history, seconds) / done if done else None
