"""Estimates of a job's run time, from past runs on the same devices.

A run takes the sum of three parts. Each is a combination of amounts of work x_f with coefficients c_f ≥ 0:

    part          amounts x_f                        contains
    fixed         1, bytes                           start of the attempt, resolving, loading, publishing
    pruning       1, B, P, P · √(P / B),             constants of the run and of a block, masks, updates,
                  T · √(P · B), P · T                attention, forward passes
    evaluating    1, B, E · √(P · B), N · E          0 without evaluated tokens

    B blocks   P parameters of blocks   N all parameters   T calibration tokens   E evaluated tokens
    √(P / B)   width of the model up to a factor, √(P · B) that times B: operations per token that multiply by no weight

Fit: minimise over c ≥ 0   Σ_i ω_i (Σ_f c_f x_if / t_i − 1)² + λ Σ_f (c_f / (s p_f) − 1)²   by coordinate descent.
     t_i are the seconds of run i. Relative residuals make small and large runs count alike. ω_i are Huber's weights: outliers
     count less. The p_f are typical coefficients and s = median t_i / Σ_f p_f x_if their scale on this device; they decide
     what the runs leave open, such as how a single run divides into constants and rates.
Likeness: non-negative coefficients bound the growth from run i to a job x, so each run gives two bounds:
         low_i = t_i min_f x_f / x_if   ≤   seconds   ≤   high_i = t_i max_f x_f / x_if
     The runs most like the job give the tightest. The estimate is the median of fit, max low_i and min high_i: all three grow
     with the amounts, so it does, and it equals t_i for the job of a single run.
Range: estimate ÷ f to estimate · f, where log f is the spread of the runs around the fit (median of the absolute log
     residuals, each divided by the distance of its run in size), twice, and more for a job between or beyond known sizes.
Limit: no estimate for a job over `REACH` times larger or smaller than every known run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log, log10, sqrt
from statistics import median
from typing import Final, NamedTuple

from service.contract.work import Work
from service.jobs.timings.repository import PastRun

REACH: Final = 10.0
"""Ratio of sizes up to which runs are extrapolated."""
BLOCKS_BEFORE: Final = 2
"""Finished blocks from which a run's own speed is used."""
AFTER_BLOCKS: Final = f"estimate after {BLOCKS_BEFORE} blocks"
"""Text in place of an estimate for a job out of reach."""
_PRIOR_WEIGHT: Final = 0.03
_HUBER: Final = 0.3
"""Relative residual from which a run counts less."""
_ROUNDS: Final = 5
_SWEEPS: Final = 100
_LEAST_SPREAD, _MOST_SPREAD = log(1.25), log(4.0)
_SPREAD_PER_DECADE: Final = 0.35
_OTHER_RECIPE_SPREAD: Final = log(1.6)

_Amounts = tuple[float, ...]


class Seconds(NamedTuple):
    """Estimated duration with its range."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, spread: float) -> "Seconds":
        """Return the range from value ÷ exp(spread) to value · exp(spread)."""
        return cls(value, value / exp(spread), value * exp(spread))

    def plus(self, other: "Seconds") -> "Seconds":
        """Return the sum: values add up, and so do the ends of the ranges."""
        return Seconds(*(mine + its for mine, its in zip(self, other, strict=True)))

    def times(self, factor: float) -> "Seconds":
        """Return the product with a factor ≥ 0."""
        return Seconds(*(each * factor for each in self))

    def after(self, elapsed: float) -> "Seconds":
        """Return what is left of the duration after `elapsed` seconds, at least 0."""
        return Seconds(*(max(0.0, each - elapsed) for each in self))


ZERO: Final = Seconds(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Part:
    """Amounts of work of one part of a run."""

    amounts: Callable[[Work], _Amounts]
    size: Callable[[Work], float]
    """Amount that must be within reach of a known run's."""
    seconds: Callable[[PastRun], float]
    typical: _Amounts
    """Typical coefficients on two cores of a CPU."""
    reach_down: float = REACH


def _blocks(work: Work) -> float:
    """Return the number of blocks; if an earlier version stored the work without it, that of a Llama of this size."""
    return float(work.blocks or max(1, round((work.block_parameters / 50_000) ** (1 / 3))))


def _pruning_amounts(work: Work) -> _Amounts:
    parameters, tokens = float(work.block_parameters), float(work.calibration_tokens)
    width = sqrt(parameters / _blocks(work))
    return (1.0, _blocks(work), parameters, parameters * width, tokens * width * _blocks(work), tokens * parameters)


def _evaluating_amounts(work: Work) -> _Amounts:
    tokens = float(work.evaluated_tokens)
    return (1.0, _blocks(work), tokens * sqrt(work.block_parameters * _blocks(work)), tokens * work.parameters)


_FIXED: Final = _Part(
    lambda work: (1.0, float(work.bytes)), lambda work: work.bytes, lambda run: run.fixed_seconds, (3.0, 1 / 1e8), float("inf")
)
_PRUNING: Final = _Part(
    _pruning_amounts,
    lambda work: float(work.block_parameters) * work.calibration_tokens,
    lambda run: run.pruning_seconds,
    (0.3, 0.1, 2e-7, 5e-10, 1e-9, 1e-10),
)
_EVALUATING: Final = _Part(
    _evaluating_amounts,
    lambda work: float(work.parameters) * work.evaluated_tokens,
    lambda run: run.evaluating_seconds,
    (0.5, 0.03, 1e-9, 3e-11),
)


@dataclass(frozen=True)
class _Fit:
    """One part, fitted to past runs; without runs it has the typical coefficients."""

    part: _Part
    rows: Sequence[tuple[_Amounts, float]]
    """Amounts and seconds of the runs."""
    sizes: Sequence[float]
    coefficients: _Amounts

    @classmethod
    def of(cls, part: _Part, runs: Sequence[PastRun]) -> "_Fit":
        """Fit the coefficients of a part."""
        used = [run for run in runs if part.seconds(run) > 0 and part.size(run.work) > 0]
        rows = [(part.amounts(run.work), part.seconds(run)) for run in used]
        return cls(part, rows, [part.size(run.work) for run in used], _fitted(rows, part.typical))

    def reaches(self, work: Work) -> bool:
        """Return whether a run of about this size is known."""
        size = self.part.size(work)
        if not self.sizes:
            return not size
        return not size or min(self.sizes) / self.part.reach_down <= size <= max(self.sizes) * REACH

    def seconds(self, work: Work) -> float:
        """Return the estimate, within reach or not."""
        if not self.part.size(work):
            return 0.0
        amounts = self.part.amounts(work)
        fit = _product(self.coefficients, amounts)
        if not self.rows:
            return fit
        bounds = [(seconds * low, seconds * high) for known, seconds in self.rows for low, high in [_growth(known, amounts)]]
        return median((fit, max(low for low, _ in bounds), min(high for _, high in bounds)))

    def range(self, work: Work) -> Seconds:
        """Return the estimate with its range, within reach or not."""
        if not self.part.size(work):
            return ZERO
        return Seconds.around(self.seconds(work), min(_MOST_SPREAD, self._spread(work)))

    def _spread(self, work: Work) -> float:
        if not self.rows:
            return _MOST_SPREAD
        size = self.part.size(work)
        decades = [abs(log10(size / known)) for known in self.sizes]
        residuals = [
            abs(log(seconds / _product(self.coefficients, known))) / (1 + each)
            for (known, seconds), each in zip(self.rows, decades, strict=True)
        ]
        return max(_LEAST_SPREAD, 2 * median(residuals)) + _SPREAD_PER_DECADE * min(decades)


def _fitted(rows: Sequence[tuple[_Amounts, float]], typical: _Amounts) -> _Amounts:
    """Return the coefficients of the least squares problem in the module's docstring."""
    if not rows:
        return typical
    scale = median(seconds / _product(typical, amounts) for amounts, seconds in rows)
    prior = tuple(scale * each for each in typical)
    relative = [[x * each / seconds for x, each in zip(amounts, prior, strict=True)] for amounts, seconds in rows]
    shares = [1.0] * len(prior)  # coefficients as multiples of the prior's
    for _ in range(_ROUNDS):
        residuals = [abs(_product(shares, row) - 1) for row in relative]
        weights = [min(1.0, _HUBER / max(each, 1e-9)) for each in residuals]
        shares = _descended(relative, weights, shares)
    return tuple(share * each for share, each in zip(shares, prior, strict=True))


def _descended(rows: Sequence[Sequence[float]], weights: Sequence[float], start: Sequence[float]) -> list[float]:
    """Minimise Σ w (row · c − 1)² + λ Σ (c − 1)² over c ≥ 0 by coordinate descent."""
    count = len(start)
    gram = [
        [sum(w * row[a] * row[b] for w, row in zip(weights, rows, strict=True)) + _PRIOR_WEIGHT * (a == b) for b in range(count)]
        for a in range(count)
    ]
    target = [sum(w * row[a] for w, row in zip(weights, rows, strict=True)) + _PRIOR_WEIGHT for a in range(count)]
    found = list(start)
    for _ in range(_SWEEPS):
        for a in range(count):
            others = sum(gram[a][b] * found[b] for b in range(count) if b != a)
            found[a] = max(0.0, (target[a] - others) / gram[a][a])
    return found


def _growth(known: _Amounts, wanted: _Amounts) -> tuple[float, float]:
    """Return the least and the greatest growth of an amount that both have."""
    ratios = [new / old for old, new in zip(known, wanted, strict=True) if old]
    return min(ratios), max(ratios)


def _product(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


@dataclass(frozen=True)
class Estimator:
    """Fits of the parts of a run; without runs they have typical coefficients, and reach no job."""

    jobs: int
    """Number of runs behind the pruning time."""
    is_same_recipe: bool
    _fixed: _Fit = field(repr=False)
    _pruning: _Fit = field(repr=False)
    _evaluating: _Fit = field(repr=False)

    def pruning(self, work: Work) -> Seconds:
        """Return the pruning stage's time, within reach or not."""
        found = self._pruning.range(work)
        if self.is_same_recipe or not self.jobs or not found.value:
            return found
        return Seconds.around(found.value, log(found.high / found.value) + _OTHER_RECIPE_SPREAD)

    def evaluating(self, work: Work) -> Seconds:
        """Return the evaluation stage's time, within reach or not."""
        return self._evaluating.range(work)

    def fixed(self, work: Work) -> Seconds:
        """Return the time of start, resolving, loading and publishing, within reach or not."""
        return self._fixed.range(work)

    def reaches(self, work: Work) -> bool:
        """Return whether runs of about this size are known in every part."""
        return all(part.reaches(work) for part in (self._fixed, self._pruning, self._evaluating))

    def reaches_evaluating(self, work: Work) -> bool:
        """Return whether evaluations of about this size are known."""
        return self._evaluating.reaches(work)

    def run(self, work: Work) -> Seconds | None:
        """Return the time from the claim to the end; None out of reach."""
        if not self.reaches(work):
            return None
        return self.fixed(work).plus(self.pruning(work)).plus(self.evaluating(work))


def estimator(history: Sequence[PastRun], kind: str) -> Estimator:
    """Fit the past runs for a recipe of this kind; those with other recipes count for pruning if there is none of the kind."""
    alike = [run for run in history if run.recipe == kind]
    pruned = alike or history
    return Estimator(
        jobs=len(pruned),
        is_same_recipe=bool(alike),
        _fixed=_Fit.of(_FIXED, history),
        _pruning=_Fit.of(_PRUNING, pruned),
        _evaluating=_Fit.of(_EVALUATING, history),
    )


def mean_seconds(history: Sequence[PastRun]) -> float | None:
    """Return the mean run time, regardless of size; None without runs."""
    return sum(run.seconds for run in history) / len(history) if history else None
