"""How long a job takes and when it starts, told from what runs took on the same devices. Nothing is known without them.

Symbols: a run takes  r_t · block parameters · calibration tokens  +  r_w · block parameters  (pruning)
                    + r_e · parameters · evaluated tokens           (evaluating)
                    + r_o · bytes of the model                      (resolving, loading, publishing)
         each r is Σ seconds / Σ of what it is a rate of, over the newest runs. r_t and r_w are of the same kind of recipe where
         there are such runs, else of all; r_e and r_o do not depend on the recipe.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from service.contract import Stage
from service.contract.work import Work
from service.jobs.timings.repository import Taken

_BEFORE_PRUNING = (None, Stage.RESOLVING, Stage.LOADING)


@dataclass(frozen=True)
class Estimator:
    """Rates in seconds, None where no run tells."""

    jobs: int
    """How many runs the rates of pruning are of."""
    is_same_recipe: bool
    per_token: float
    per_weight: float
    per_evaluated: float | None
    per_byte: float
    mean_seconds: float
    """Of a whole run, whatever its size."""

    def pruning(self, work: Work) -> float:
        return work.block_parameters * (self.per_token * work.calibration_tokens + self.per_weight)

    def evaluating(self, work: Work) -> float | None:
        size = work.parameters * work.evaluated_tokens
        if not size:
            return 0.0
        return None if self.per_evaluated is None else self.per_evaluated * size

    def other(self, work: Work) -> float:
        return self.per_byte * work.bytes

    def run(self, work: Work) -> float | None:
        """Seconds from the claim to the end."""
        evaluating = self.evaluating(work)
        return None if evaluating is None else self.pruning(work) + evaluating + self.other(work)


def estimator(history: Sequence[Taken], kind: str) -> Estimator | None:
    """The rates that runs give for a recipe of this kind; None without runs."""
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
    """How far a run is, by the database's clock."""

    stage: Stage | None
    elapsed: float
    """Seconds since the claim."""
    stage_left: float | None
    """Seconds that were left of the stage, as the worker told it."""
    told_ago: float
    """Seconds since then."""
    work: Work | None


def seconds_left(running: Running, rates: Estimator | None) -> float | None:
    """Of a whole run; None where nobody can tell."""
    work = running.work
    if rates is None:
        return None
    if work is None:  # it has not found out yet how much there is to do
        return max(0.0, rates.mean_seconds - running.elapsed)
    whole, evaluating = rates.run(work), rates.evaluating(work)
    if whole is None or evaluating is None:
        return None
    if running.stage in _BEFORE_PRUNING:
        return max(0.0, whole - running.elapsed)
    left = None if running.stage_left is None else max(0.0, running.stage_left - running.told_ago)
    own = {Stage.PRUNING: rates.pruning(work), Stage.EVALUATING: evaluating}
    following = {Stage.PRUNING: evaluating}.get(running.stage, 0.0)
    if left is None:
        left = max(0.0, own.get(running.stage, rates.other(work)) - running.told_ago)
    return left + following + (0.0 if running.stage == Stage.PUBLISHING else rates.other(work) / 2)


def starts_in(*, idle: int, busy: Iterable[float | None], ahead: int, mean_seconds: float | None) -> float | None:
    """Seconds until a worker takes the job up.

    Args:
        idle: workers without a job.
        busy: seconds until each of the others is through; None where that cannot be told.
        ahead: jobs that are claimed before it.
        mean_seconds: that each of these takes.
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
