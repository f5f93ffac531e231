"""Candidates of a search in the order from the safest to the most ambitious, and the gap of a point to the target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.contract.spec import JobSpec
from service.contract.sweeps import Over, SweepSpec, Target
from service.sweeps.figures import Figure, figures, gap_figure
from service.sweeps.points import Values, points_of, refuse
from service.sweeps.search import gap

PATTERN: Final = "/recipe/pattern"
PRESET: Final = "/recipe/preset"
SPARSITY_SLOPE: Final = 8.0
"""Expected growth of ln(damage) per unit of sparsity, until two points are known."""


class NotMeasured(Exception):
    """Job whose metrics lack what the target is about."""


@dataclass(frozen=True)
class Candidate:
    """A setting that a search may measure."""

    x: float
    """Coordinate: the sparsity, or the position in the list."""
    values: Values


def candidates(over: Over) -> list[Candidate]:
    """Return the candidates, the safest first."""
    if over.sparsity is not None:
        lowest, highest = over.sparsity
        count = math.floor((highest - lowest) / over.step + 1e-6) + 1
        shares = [round(lowest + number * over.step, 6) for number in range(count)]
        shares += [highest] if highest - shares[-1] > 1e-6 else []
        return [Candidate(share, {PATTERN: {"type": "unstructured", "sparsity": share}}) for share in shares]
    if over.patterns is not None:
        ordered = sorted(over.patterns, key=lambda pattern: pattern.pruned_share)
        return [Candidate(place, {PATTERN: each.model_dump(mode="json")}) for place, each in enumerate(ordered)]
    return [Candidate(place, {PRESET: name}) for place, name in enumerate(reversed(over.presets or []))]


def index_of(values: Values, found: Sequence[Candidate]) -> int | None:
    """Return the index of the candidate that a point measured; None if it measured none of them."""
    return next((index for index, each in enumerate(found) if each.values.items() <= values.items()), None)


def slope_of(over: Over) -> float:
    """Return the expected growth of ln(damage) per unit of the coordinate."""
    return 1.0 if over.sparsity is None else SPARSITY_SLOPE


def with_preset(values: Values, preset: str) -> Values:
    """Return the values of a candidate that is first tried with another preset."""
    return {**values, PRESET: preset}


def checked(spec: SweepSpec) -> tuple[SweepSpec, list[JobSpec]]:
    """Return the search with its data set filled in, and the jobs that its points may be: all, or the ends of a range.

    Raises:
        InvalidInput: a candidate is no valid job, or the jobs do not measure the metric.
    """
    assert spec.over is not None
    assert spec.target is not None
    found = candidates(spec.over)
    ends = [found[0], found[-1]] if spec.over.sparsity is not None else found
    settings = [each.values for each in ends]
    if spec.try_first is not None and spec.try_first == points_of(spec, settings[:1])[0].spec.recipe.preset:
        refuse([_error("/try_first", "is the template's own preset; name a cheaper one, or leave it out")])
    if spec.try_first is not None:
        settings += [with_preset(each.values, spec.try_first) for each in ends]
    jobs = [point.spec for point in points_of(spec, settings)]
    target = _on_data_set(spec.target, jobs[0])
    refuse([error for error in (_not_measured(target, jobs[0]),) if error])
    return spec.model_copy(update={"target": target}), jobs


def _on_data_set(target: Target, job: JobSpec) -> Target:
    measured = job.evaluation.perplexity
    if target.task is not None or target.dataset is not None or not measured:
        return target
    if len(measured) > 1:
        refuse([{"pointer": "/target/dataset", "detail": f"is required, because the jobs measure {', '.join(measured)}"}])
    return target.model_copy(update={"dataset": measured[0]})


def _not_measured(target: Target, job: JobSpec) -> dict[str, str] | None:
    evaluation = job.evaluation
    if target.task is not None and target.task not in evaluation.tasks:
        return _error("/target/metric", f"the jobs do not measure {target.task}; add it to template.evaluation.tasks")
    if target.task is None and target.dataset not in evaluation.perplexity:
        name = target.dataset or "a data set"
        return _error("/target/dataset", f"the jobs do not measure {name}; add it to template.evaluation.perplexity")
    if target.needs_dense and not evaluation.baseline:
        return _error("/template/evaluation/baseline", "the target refers to the dense model, which must be measured: use true")
    if target.metric in ("kl_divergence", "top1_agreement") and not evaluation.agreement_windows:
        where = "/template/evaluation/agreement_windows"
        return _error(where, f"the target's {target.metric} is measured on these windows: give at least 1")
    return None


def _error(where: str, detail: str) -> dict[str, str]:
    return {"pointer": where, "detail": detail}


def gap_to(target: Target, metrics: Mapping[str, Any], *, by_interval: bool) -> float:
    """Return r of `service.sweeps.search`: zero or less meets the target; by interval, at the end of it that is further away.

    Raises:
        NotMeasured
    """
    name = _name(target, metrics)
    measured, dense = figures(metrics)[name], figures(metrics, "dense").get(name)
    kind, bound = target.bound
    if kind in ("at_most_increase", "at_most_decrease") and dense is None:
        raise NotMeasured(f"the job did not measure the dense model's {name.replace(':', ' on ', 1)}")
    worst = _worst(measured, by_interval)
    if target.metric == "perplexity":
        damage, limit = _loss_increase(target, metrics, worst, dense, by_interval)
    elif target.metric == "kl_divergence":
        damage, limit = worst, bound
    elif kind == "at_least":
        damage, limit = 1 - worst, 1 - bound
    else:
        assert dense is not None
        damage, limit = dense.value - worst, bound
    return gap(damage, limit)


def _loss_increase(
    target: Target, metrics: Mapping[str, Any], worst: float, dense: Figure | None, by_interval: bool
) -> tuple[float, float]:
    """Return the increase of the loss over the dense model's, in nats per token, and its bound.

    The paired measurement of the increase has a narrower interval than the perplexities; a bound on the perplexity itself is not
    about an increase, and needs no dense model.
    """
    kind, bound = target.bound
    origin = math.log(dense.value) if dense is not None else 0.0
    if kind == "at_most":
        return math.log(worst) - origin, math.log(bound) - origin if bound > 0 else 0.0
    paired = gap_figure(metrics, str(target.dataset))
    return _worst(paired, by_interval) if paired is not None else math.log(worst) - origin, math.log1p(bound)


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
