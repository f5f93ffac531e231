"""Side-by-side measurements of several jobs; only values measured under the same conditions share a row.

Metrics may come from workers of any version: missing ones are skipped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.contract.speed_ways import SAME_WEIGHTS

Better = Literal["lower", "higher"]
Number = int | float

_RATES: Final = ("prefill_tokens_per_second", "decode_tokens_per_second")
_LOWER: Final = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "kl_divergence", "kl_p99", "repetition"}
)
_HIGHER: Final = frozenset(
    {"acc", "acc_norm", "acc_mutual_info", "exact_match", "f1", "mcc", "em", "top1_agreement", "equal_tokens", *_RATES}
)
"""Metrics for which higher is better. One in neither set has an unknown direction, so that no job is marked as best."""


@dataclass(frozen=True)
class Quantity:
    """A metric and its measurement conditions."""

    name: str
    model: Literal["dense", "pruned"] | None = None
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


_COSTS: Final = frozenset({"layer_error", "artifact_bytes", "packed_bytes", "seconds", "peak_host_bytes", "peak_device_bytes"})


@dataclass(frozen=True)
class Measure:
    """The values of one quantity for all jobs."""

    quantity: Quantity
    values: Sequence[Number | None]
    """Values in the order of the jobs; None: not measured."""
    best: Sequence[int]
    """Indices of the jobs with the best value, if two or more have one."""


def measures(metrics: Sequence[Mapping[str, Any] | None]) -> list[Measure]:
    """Return a row for each quantity that was measured for at least one job."""
    found = [dict(readings(each or {})) for each in metrics]
    quantities = dict.fromkeys(quantity for each in found for quantity in each)
    return [_measure(quantity, [each.get(quantity) for each in found]) for quantity in quantities]


def _measure(quantity: Quantity, values: list[Number | None]) -> Measure:
    known = [value for value in values if value is not None]
    if quantity.better is None or len(known) < 2:
        return Measure(quantity, values, [])
    best = min(known) if quantity.better == "lower" else max(known)
    return Measure(quantity, values, [place for place, value in enumerate(values) if value == best])


def readings(metrics: Mapping[str, Any]) -> Iterator[tuple[Quantity, Number]]:
    """Yield the quantities that a job has measured, of both models and of the job as a whole, with their values."""
    for model in ("pruned", "dense"):
        part = metrics.get(model) or {}
        for each in part.get("perplexity") or ():
            how = _conditions(each, "sequence_length", "windows", "tokens")
            if each.get("bos") == "window":
                how += (("bos_per_window", 1),)
            yield Quantity("perplexity", model, each["dataset"], how), each["perplexity"]
        for each in part.get("tasks") or ():
            how = _conditions(each, "few_shot", "samples")
            for name, measured in each["metrics"].items():
                yield Quantity(name, model, each["task"], how), measured["value"]
    for each in metrics.get("agreement") or ():
        for name in ("kl_divergence", "kl_p99", "top1_agreement"):
            if each.get(name) is not None:
                yield Quantity(name, "pruned", each["dataset"], _conditions(each, "windows", "tokens")), each[name]
    yield from _samples(metrics.get("samples") or {})
    yield from _speeds(metrics.get("speed") or {})
    yield from _of_the_job(metrics)


def _samples(samples: Mapping[str, Any]) -> Iterator[tuple[Quantity, Number]]:
    """Yield the repetition of both models, and the share of equal first tokens; prompts of one name are the same."""
    how = _conditions(samples, "max_new_tokens") + ((("chat", 1),) if samples.get("chat") else ())
    how += (("prompts", len(samples.get("continuations") or ())),)
    repetition, on = samples.get("repetition") or {}, f"{samples.get('prompts')} prompts"
    models: tuple[Literal["pruned", "dense"], ...] = ("pruned", "dense")
    for model in models:
        if repetition.get(model) is not None:
            yield Quantity("repetition", model, on, how), repetition[model]
    if samples.get("equal_share") is not None:
        yield Quantity("equal_tokens", "pruned", on, how), samples["equal_share"]


def _speeds(speed: Mapping[str, Any]) -> Iterator[tuple[Quantity, Number]]:
    """Yield the throughput of the dense model and the best of the pruned model's execution modes, on the given device."""
    how = _conditions(speed, "threads", "prompt_tokens", "new_tokens")
    ways: dict[Literal["pruned", "dense"], tuple[str, ...]] = {"pruned": SAME_WEIGHTS, "dense": ("dense",)}
    for model, names in ways.items():
        found = [speed[way] for way in names if speed.get(way)]
        for part, name in zip(("prefill", "decode"), _RATES, strict=True):
            if found:
                yield Quantity(name, model, speed["device"], how), max(each[part]["median"] for each in found)


def _of_the_job(metrics: Mapping[str, Any]) -> Iterator[tuple[Quantity, Number]]:
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
            yield Quantity(name), value


def _conditions(measured: Mapping[str, Any], *names: str) -> tuple[tuple[str, Number], ...]:
    return tuple((name, measured[name]) for name in names if measured.get(name) is not None)
