"""Tables of a job's metrics, dense against pruned. Missing measurements are omitted.

Metrics are read as stored by this or an older version of the worker: every part may be missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.contract.speed_ways import WAYS, timed
from service.dashboard.formats import SHARES, figure, percent, share, size, spread

_Part = Mapping[str, Any]


@dataclass(frozen=True)
class QualityRow:
    """Measure of both models."""

    name: str
    dense: str = "–"
    pruned: str = "–"
    change: str = "–"
    note: str = ""
    """Measurement conditions."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the two models' predictions on one data set."""

    dataset: str
    kl_divergence: str
    top1: str
    note: str


def rows(metrics: _Part) -> list[QualityRow]:
    """Return the rows of perplexities, tasks, speed and sizes."""
    dense, pruned = metrics.get("dense") or {}, metrics.get("pruned") or {}
    return [*_perplexities(dense, pruned), *_tasks(dense, pruned), *_speeds(metrics.get("speed") or {}), *_sizes(metrics)]


def agreements(metrics: _Part) -> list[Agreement]:
    """Return the rows of the agreement table."""
    return [
        Agreement(
            str(each.get("dataset")),
            spread(each.get("kl_divergence"), each.get("kl_standard_error")),
            percent(each.get("top1_agreement"), each.get("top1_standard_error")),
            f"{each['windows']} windows, {each['tokens']:,} tokens" if each.get("windows") and each.get("tokens") else "",
        )
        for each in metrics.get("agreement") or ()
    ]


def _perplexities(dense: _Part, pruned: _Part) -> Iterator[QualityRow]:
    before, after = _by(dense.get("perplexity"), "dataset"), _by(pruned.get("perplexity"), "dataset")
    for dataset in {**before, **after}:
        old, new = before.get(dataset, {}), after.get(dataset, {})
        known = new or old
        note = f"{known.get('windows')} windows of {known.get('sequence_length')} tokens"
        if known.get("bos") == "window":
            note += ", BOS at the head of each"
        yield QualityRow(
            f"Perplexity, {dataset}",
            _interval(old.get("perplexity"), old.get("ci95")),
            _interval(new.get("perplexity"), new.get("ci95")),
            _ratio(old.get("perplexity"), new.get("perplexity")),
            note,
        )
        if difference := new.get("loss_difference"):
            mean = _interval(difference.get("mean"), difference.get("ci95"), signed=True)
            yield QualityRow(f"Loss difference, {dataset}", change=mean, note="nats per token, paired by window")


def _tasks(dense: _Part, pruned: _Part) -> Iterator[QualityRow]:
    before, after = _by(dense.get("tasks"), "task"), _by(pruned.get("tasks"), "task")
    for task in {**before, **after}:
        old, new = before.get(task, {}), after.get(task, {})
        known = new or old
        note = ", ".join(
            f"{known[name]} {what}" for name, what in (("samples", "samples"), ("few_shot", "shots")) if known.get(name)
        )
        for name in {**(old.get("metrics") or {}), **(new.get("metrics") or {})}:
            was, now = ((each.get("metrics") or {}).get(name) or {} for each in (old, new))
            yield QualityRow(
                f"{task}, {name}",
                _found(name, was),
                _found(name, now),
                _difference(name, was.get("value"), now.get("value")),
                note,
            )


def _found(name: str, measured: _Part) -> str:
    written = percent if name in SHARES else spread
    return written(measured.get("value"), measured.get("standard_error"))


def _speeds(speed: _Part) -> Iterator[QualityRow]:
    models = timed(speed)
    dense = models.pop(WAYS["dense"], None) or {}
    for title, found in models.items() or [("", {})]:
        for part in ("prefill", "decode"):
            old, new = ((model.get(part) or {}).get("median") for model in (dense, found))
            if old is not None or new is not None:
                name = f"Tokens per second, {part}"
                note = ", ".join(filter(None, (title, f"on {speed.get('device', '?')}")))
                yield QualityRow(name, figure(old), figure(new), _ratio(old, new), note)


def _sizes(metrics: _Part) -> Iterator[QualityRow]:
    if metrics.get("sparsity") is not None:
        coverage = metrics.get("coverage")
        note = f"{share(coverage, 1)} of the blocks' parameters are prunable" if coverage is not None else ""
        yield QualityRow("Zeros in the pruned matrices", "0.00 %", share(metrics["sparsity"]), note=note)
    error = metrics.get("layer_error") or {}
    if error.get("final") is not None:
        steps = [share(error[step]) for step in ("start", "mask", "final") if error.get(step) is not None]
        yield QualityRow("Relative layer error", "0.00 %", steps[-1], note="start, mask, final: " + " → ".join(steps))
    if metrics.get("bytes") is not None:
        yield QualityRow("Artifact", pruned=size(metrics["bytes"]), note="all files")


def memory(metrics: _Part) -> list[tuple[str, str]]:
    """Return the peak memory, as pairs of description and size."""
    peak = metrics.get("peak_memory_bytes") or {}
    names = (("host", "above an idle worker"), ("host_total", "of the worker in all"), ("device", "on the device"))
    return [(what, size(peak[name])) for name, what in names if peak.get(name)]


def _by(measured: Sequence[_Part] | None, name: str) -> dict[str, _Part]:
    return {str(each.get(name)): each for each in measured or ()}


def _interval(value: float | None, bounds: Sequence[float] | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    text = ("+" if signed and value > 0 else "") + figure(value)
    return f"{text} ({figure(bounds[0])} to {figure(bounds[1])})" if bounds else text


def _ratio(old: float | None, new: float | None) -> str:
    return f"× {figure(new / old)}" if old and new is not None else "–"


def _difference(name: str, old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return "–"
    return f"{100 * (new - old):+.1f} points" if name in SHARES else f"{new - old:+.3f}"
