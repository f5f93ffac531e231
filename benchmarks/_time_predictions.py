"""Times that the service predicts for measured runs, each from the runs before it, and the page that compares them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

from service.contract.spec import JobSpec
from service.contract.states import EventType, Stage
from service.contract.work import Work, kind_of
from service.jobs.timings.repository import PastRun
from service.planning.estimates import BLOCKS_BEFORE, Seconds, estimator
from service.planning.eta import tokens_of
from service.planning.remaining import OwnBlocks, Running, seconds_left

Facts = Mapping[str, Any]
_FIXED: Final = (Stage.RESOLVING, Stage.LOADING, Stage.PUBLISHING)


@dataclass(frozen=True)
class Predicted:
    """Predictions for one run, with their ranges; None where the service gives none."""

    facts: Facts
    at_plan: Seconds | None
    after_blocks: Seconds
    """Whole time, predicted when two blocks are finished."""

    @property
    def measured(self) -> float:
        """Measured seconds from the claim to the end."""
        return float(self.facts["measured"])


def predictions(runs: Sequence[Facts]) -> list[Predicted]:
    """Predict every run from the runs before it."""
    return [_predicted(facts, [_past_run(each) for each in runs[:number]]) for number, facts in enumerate(runs)]


def _past_run(facts: Facts) -> PastRun:
    seconds, start = facts["seconds"], facts["measured"] - sum(facts["seconds"].values())
    return PastRun(
        recipe=kind_of(facts["spec"]),
        work=Work.model_validate(facts["work"]),
        fixed_seconds=max(0.0, start) + sum(seconds[stage] for stage in _FIXED),
        pruning_seconds=seconds[Stage.PRUNING],
        evaluating_seconds=seconds[Stage.EVALUATING],
    )


def _predicted(facts: Facts, history: Sequence[PastRun]) -> Predicted:
    rates, work = estimator(history, kind_of(facts["spec"])), Work.model_validate(facts["work"])
    planned = work.model_copy(update=tokens_of(JobSpec.model_validate(facts["spec"]), {}, work.bytes))
    ends = [moment for kind, _, moment in facts["steps"] if kind == EventType.BLOCK_PRUNED]
    began = next(moment for kind, stage, moment in facts["steps"] if kind == EventType.STAGE_STARTED and stage == Stage.PRUNING)
    durations = [later - earlier for earlier, later in pairwise(ends[:BLOCKS_BEFORE])]
    now = ends[BLOCKS_BEFORE - 1]
    own = OwnBlocks(BLOCKS_BEFORE, sum(durations) / len(durations), len(ends) - BLOCKS_BEFORE)
    left = seconds_left(Running(Stage.PRUNING, now, now - began, None, 0.0, work, own), rates)
    assert left is not None
    return Predicted(facts, rates.run(planned), Seconds(*(now + each for each in left)))


def error(predicted: Seconds, measured: float) -> float:
    """Return by which factor a prediction is off, at least 1."""
    return max(predicted.value / measured, measured / predicted.value)


def page(runs: Sequence[Facts]) -> list[str]:
    """Return the section of the page as lines."""
    found = predictions(runs)
    planned = [(each.at_plan, each.measured) for each in found if each.at_plan is not None]
    later = [(each.after_blocks, each.measured) for each in found]
    lines = [f"* {name}: {_summary(each)}" for name, each in (("At the plan", planned), ("After two blocks", later)) if each]
    lines += [
        "",
        "| model | preset | tokens | evaluated | measured, s | at the plan, s | ratio | after 2 blocks, s | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in found:
        model, preset, samples, length, windows = each.facts["case"]
        figures = [f"{each.measured:.1f}", *_cells(each.at_plan, each.measured), *_cells(each.after_blocks, each.measured)]
        lines.append(f"| {model} | {preset} | {samples} x {length} | {windows} x {length} | {' | '.join(figures)} |")
    return lines


def _summary(pairs: Sequence[tuple[Seconds, float]]) -> str:
    errors = [abs(predicted.value / measured - 1) for predicted, measured in pairs]
    worst = max(error(predicted, measured) for predicted, measured in pairs)
    inside = sum(predicted.low <= measured <= predicted.high for predicted, measured in pairs)
    return (
        f"{len(pairs)} predictions, median error {median(errors):.0%}, at most off by a factor of {worst:.2f}; "
        f"{inside} measured times lie in the predicted range."
    )


def _cells(predicted: Seconds | None, measured: float) -> list[str]:
    if predicted is None:
        return ["after 2 blocks", ""]
    return [f"{predicted.value:.1f} ({predicted.low:.1f} to {predicted.high:.1f})", f"{predicted.value / measured:.2f}"]
