"""Judgement of targets on a job's metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.contract.figures import Figure, figures, gap_figure
from service.contract.gates import Gate, GateResult
from service.contract.targets import Target, target_text


class NotMeasured(Exception):
    """Job whose metrics lack what the target is about."""


def judged(gates: Sequence[Gate], metrics: Mapping[str, Any]) -> list[GateResult]:
    """Return the gates with their outcome. One that cannot be judged has not passed."""
    return [_judged(gate, metrics) for gate in gates]


def _judged(gate: Gate, metrics: Mapping[str, Any]) -> GateResult:
    given = gate.model_dump(mode="json")
    try:
        value = worst_value(gate, metrics, by_interval=gate.judge_by == "interval")
    except NotMeasured as error:
        return GateResult(**given, text=target_text(gate), value=None, passed=False, reason=str(error))
    return GateResult(**given, text=target_text(gate), value=value, passed=meets(gate, value))


def meets(target: Target, value: float) -> bool:
    """Return whether a value, in the units of the target's bound, meets it."""
    kind, bound = target.bound
    return value >= bound if kind == "at_least" else value <= bound


def worst_value(target: Target, metrics: Mapping[str, Any], *, by_interval: bool) -> float:
    """Return what is compared with the target's bound, in its units; by interval, the end that is further from the target.

    The paired measurement of perplexity's increase has a narrower interval than the perplexities, and is used where it exists.

    Raises:
        NotMeasured
    """
    name = _name(target, metrics)
    measured, kind = figures(metrics)[name], target.bound[0]
    worst = _worst(measured, by_interval)
    if kind in ("at_most", "at_least"):
        return worst
    paired = gap_figure(metrics, str(target.dataset)) if kind == "at_most_increase" else None
    if paired is not None:
        try:
            return math.expm1(_worst(paired, by_interval))
        except OverflowError:
            raise NotMeasured("the increase of the perplexity is too large for a number") from None
    dense = dense_figure(target, metrics)
    if dense is None:
        raise NotMeasured(f"the job did not measure the dense model's {name.replace(':', ' on ', 1)}")
    return worst / dense.value - 1 if kind == "at_most_increase" else dense.value - worst


def dense_figure(target: Target, metrics: Mapping[str, Any]) -> Figure | None:
    """Return the dense model's value of the target's metric. Raises NotMeasured: the pruned model has none."""
    return figures(metrics, "dense").get(_name(target, metrics))


def _name(target: Target, metrics: Mapping[str, Any]) -> str:
    """Return the name of the target's figure; of a task `acc`, or its first metric for which higher is better."""
    measured = figures(metrics)
    if target.task is None:
        name = f"{target.metric}:{target.dataset}"
    else:
        rising = [each for each, figure in measured.items() if figure.better == "higher" and each.endswith(f":{target.task}")]
        name = next((each for each in rising if each.startswith("acc:")), rising[0] if rising else "")
    if name not in measured:
        raise NotMeasured(f"the job did not measure {target.task or f'{target.metric} on {target.dataset}'}")
    return name


def _worst(figure: Figure, by_interval: bool) -> float:
    """Return the value, or the end of its interval that is further from the target, if it has an interval."""
    end = figure.low if figure.better == "higher" else figure.high
    return figure.value if end is None or not by_interval else end
