"""Readings of a job's metrics: quantities with their measurement conditions, values and intervals.

Metrics may come from workers of any version: missing ones are skipped.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.contract.speed_ways import SAME_WEIGHTS

Better = Literal["lower", "higher"]
Model = Literal["dense", "pruned"]
Number = int | float
Interval = tuple[float, float]

Z95: Final = 1.96
"""Standard errors on each side of a 95 % interval."""
RATES: Final = ("prefill_tokens_per_second", "decode_tokens_per_second")
_LOWER: Final = frozenset(
    {
        "perplexity",
        "perplexity_ratio",
        "word_perplexity",
        "byte_perplexity",
        "bits_per_byte",
        "brier_score",
        "kl_divergence",
        "kl_p99",
        "repetition",
    }
)
_HIGHER: Final = frozenset(
    {"acc", "acc_norm", "acc_mutual_info", "exact_match", "f1", "mcc", "em", "top1_agreement", "equal_tokens", *RATES}
)
"""Metrics for which higher is better. One in neither set has an unknown direction, so that no job is marked as best."""
_COSTS: Final = frozenset({"layer_error", "artifact_bytes", "packed_bytes", "seconds", "peak_host_bytes", "peak_device_bytes"})


@dataclass(frozen=True)
class Quantity:
    """A metric and its measurement conditions."""

    name: str
    model: Model | None = None
    """Measured model; None: the job as a whole."""
    on: str | None = None
    """Data set or task."""
    conditions: tuple[tuple[str, Number], ...] = ()
    """Measurement conditions; values under other conditions are another quantity."""

    @property
    def better(self) -> Better | None:
        """Direction of improvement; None if unknown or not influenced by the job."""
        if self.model == "dense":
            return None
        return "lower" if self.name in _LOWER | _COSTS else "higher" if self.name in _HIGHER else None


@dataclass(frozen=True)
class Estimate:
    """Mean with its standard error, on a scale on which two of them may be subtracted."""

    mean: float
    error: float
    baseline: float | None = None
    """Dense model's perplexity, if the mean is a difference from it."""


@dataclass(frozen=True)
class Reading:
    """One measured value."""

    value: Number
    interval: Interval | None = None
    """95 % interval; of a throughput the lowest and the highest measurement."""
    own: Estimate | None = None
    """The value's estimate; of a perplexity its logarithm's."""
    paired: Estimate | None = None
    """Perplexity: the increase of the loss over the dense model's, paired by window."""

    @property
    def half_width(self) -> float | None:
        """Half of the interval."""
        return (self.interval[1] - self.interval[0]) / 2 if self.interval else None


def readings(metrics: Mapping[str, Any]) -> Iterator[tuple[Quantity, Reading]]:
    """Yield the quantities that a job has measured, of both models and of the job as a whole, with their readings."""
    models: tuple[Model, Model] = ("pruned", "dense")
    for model in models:
        part = metrics.get(model) or {}
        for each in part.get("perplexity") or ():
            how = _conditions(each, "sequence_length", "windows", "tokens")
            if each.get("bos") == "window":
                how += (("bos_per_window", 1),)
            dense = _dense_perplexity(metrics, each["dataset"]) if model == "pruned" else None
            yield Quantity("perplexity", model, each["dataset"], how), _perplexity(each, dense)
        for each in part.get("tasks") or ():
            how = _conditions(each, "few_shot", "samples")
            for name, measured in each["metrics"].items():
                yield Quantity(name, model, each["task"], how), _around(measured["value"], measured.get("standard_error"))
    for each in metrics.get("agreement") or ():
        errors = {"kl_divergence": "kl_standard_error", "kl_p99": "", "top1_agreement": "top1_standard_error"}
        for name, error in errors.items():
            if each.get(name) is not None:
                how = _conditions(each, "windows", "tokens")
                yield Quantity(name, "pruned", each["dataset"], how), _around(each[name], each.get(error))
    yield from _samples(metrics.get("samples") or {})
    yield from _speeds(metrics.get("speed") or {})
    yield from _of_the_job(metrics)


def ratio(reading: Reading) -> Reading | None:
    """Return the perplexity as a multiple of the dense model's, with the interval paired by window; None without a dense one."""
    dense = reading.paired.baseline if reading.paired else None
    if reading.paired is None or not dense:
        return None
    mean, error = reading.paired.mean, reading.paired.error
    try:
        interval = (math.exp(mean - Z95 * error), math.exp(mean + Z95 * error)) if error else None
    except OverflowError:
        interval = None
    return Reading(reading.value / dense, interval)


def _perplexity(found: Mapping[str, Any], dense: float | None) -> Reading:
    value, interval, error = found["perplexity"], found.get("ci95"), found.get("standard_error")
    if error is None and interval and interval[0] > 0:
        error = math.log(interval[1] / interval[0]) / (2 * Z95)
    own = Estimate(math.log(value), error) if error is not None and value > 0 else None
    difference = found.get("loss_difference") or {}
    paired = None
    if dense and difference.get("mean") is not None:
        bounds = difference.get("ci95")
        paired_error = difference.get("standard_error") or ((bounds[1] - bounds[0]) / (2 * Z95) if bounds else 0.0)
        paired = Estimate(difference["mean"], paired_error, dense)
    elif dense and value > 0:
        paired = Estimate(math.log(value / dense), 0.0, dense)
    return Reading(value, tuple(interval) if interval else None, own, paired)


def _dense_perplexity(metrics: Mapping[str, Any], dataset: str) -> float | None:
    found = (metrics.get("dense") or {}).get("perplexity") or ()
    return next((each["perplexity"] for each in found if each["dataset"] == dataset), None)


def _around(value: Number, error: float | None) -> Reading:
    if error is None:
        return Reading(value)
    return Reading(value, (value - Z95 * error, value + Z95 * error), Estimate(value, error))


def _samples(samples: Mapping[str, Any]) -> Iterator[tuple[Quantity, Reading]]:
    """Yield the repetition of both models, and the share of equal first tokens; prompts of one name are the same."""
    how = _conditions(samples, "max_new_tokens") + ((("chat", 1),) if samples.get("chat") else ())
    how += (("prompts", len(samples.get("continuations") or ())),)
    repetition, on = samples.get("repetition") or {}, f"{samples.get('prompts')} prompts"
    models: tuple[Model, Model] = ("pruned", "dense")
    for model in models:
        if repetition.get(model) is not None:
            yield Quantity("repetition", model, on, how), Reading(repetition[model])
    if samples.get("equal_share") is not None:
        yield Quantity("equal_tokens", "pruned", on, how), Reading(samples["equal_share"])


def _speeds(speed: Mapping[str, Any]) -> Iterator[tuple[Quantity, Reading]]:
    """Yield the throughput of the dense model and the best of the pruned model's execution modes, on the given device."""
    how = _conditions(speed, "threads", "prompt_tokens", "new_tokens")
    ways: dict[Model, tuple[str, ...]] = {"pruned": SAME_WEIGHTS, "dense": ("dense",)}
    for model, names in ways.items():
        found = [speed[way] for way in names if speed.get(way)]
        for part, name in zip(("prefill", "decode"), RATES, strict=True):
            if found:
                best = max((each[part] for each in found), key=lambda rate: float(rate["median"]))
                span = (best["lowest"], best["highest"]) if best.get("lowest") is not None else None
                yield Quantity(name, model, speed["device"], how), Reading(best["median"], span)


def _of_the_job(metrics: Mapping[str, Any]) -> Iterator[tuple[Quantity, Reading]]:
    memory = metrics.get("peak_memory_bytes") or {}
    seconds = metrics.get("seconds") or {}
    figures = {
        "sparsity": metrics.get("sparsity"),
        "layer_error": (metrics.get("layer_error") or {}).get("final"),
        "artifact_bytes": metrics.get("bytes"),
        "packed_bytes": (metrics.get("weight_bytes") or {}).get("packed"),
        "seconds": round(sum(seconds.values()), 3) if seconds else None,
        "peak_host_bytes": memory.get("host_total"),
        "peak_device_bytes": memory.get("device"),
    }
    for name, value in figures.items():
        if value is not None:
            yield Quantity(name), Reading(value)


def _conditions(measured: Mapping[str, Any], *names: str) -> tuple[tuple[str, Number], ...]:
    return tuple((name, measured[name]) for name in names if measured.get(name) is not None)
