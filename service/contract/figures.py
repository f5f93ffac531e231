"""Figures: what a job has measured, by name, with 95 % intervals where the measurement has one.

A name is `perplexity:wiki-sample:test`, `acc:arc_easy`, `seconds`: the quantity, and what it was measured on.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.contract.readings import Better, Quantity, readings

_95: Final = 1.96
"""Standard errors on each side of a 95 % interval."""
_UPWARDS: Final = frozenset({"sparsity"})
_WITHOUT_PLACE: Final = frozenset({"prefill_tokens_per_second", "decode_tokens_per_second"})
"""Quantities of which a job has one only, whatever it was measured on."""


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    value: float
    low: float | None = None
    """Lower end of the 95 % interval; None without one."""
    high: float | None = None
    better: Better | None = None
    """Direction of improvement; None if there is none."""


def figures(metrics: Mapping[str, Any] | None, model: Literal["pruned", "dense"] = "pruned") -> dict[str, Figure]:
    """Return the figures of the pruned model and of the job as a whole, or those of the dense model."""
    intervals = dict(_intervals(metrics or {}, model))
    found = {}
    for quantity, value in readings(metrics or {}):
        if quantity.model == model or (quantity.model is None and model == "pruned"):
            name = _name(quantity)
            better: Better | None = "higher" if quantity.name in _UPWARDS else quantity.better
            low, high = intervals.get(name, (None, None))
            found[name] = Figure(value, low, high, better)
    return found


def dense_figures(measured: Iterable[Mapping[str, Any] | None]) -> dict[str, Figure]:
    """Return the figures of the dense model from the first metrics that have any."""
    return next((found for each in measured if (found := figures(each, "dense"))), {})


def gap_figure(metrics: Mapping[str, Any], dataset: str) -> Figure | None:
    """Return the pruned model's increase of the loss over the dense model's, in nats per token: ln of the perplexities' ratio.

    It is paired by window, and therefore has a narrower interval than the perplexities. None if the dense model was not measured.
    """
    for each in (metrics.get("pruned") or {}).get("perplexity") or ():
        if each["dataset"] == dataset and each.get("loss_difference"):
            difference = each["loss_difference"]
            low, high = difference.get("ci95") or (None, None)
            return Figure(difference["mean"], low, high, "lower")
    return None


def _name(quantity: Quantity) -> str:
    return quantity.name if quantity.on is None or quantity.name in _WITHOUT_PLACE else f"{quantity.name}:{quantity.on}"


def _intervals(metrics: Mapping[str, Any], model: str) -> Iterator[tuple[str, tuple[float, float]]]:
    part = metrics.get(model) or {}
    for each in part.get("perplexity") or ():
        if each.get("ci95"):
            yield f"perplexity:{each['dataset']}", tuple(each["ci95"])
    for each in part.get("tasks") or ():
        for name, measured in each["metrics"].items():
            if measured.get("standard_error") is not None:
                yield f"{name}:{each['task']}", _around(measured["value"], measured["standard_error"])
    for each in (metrics.get("agreement") or ()) if model == "pruned" else ():
        for name, error in (("kl_divergence", "kl_standard_error"), ("top1_agreement", "top1_standard_error")):
            if each.get(error) is not None:
                yield f"{name}:{each['dataset']}", _around(each[name], each[error])


def _around(value: float, error: float) -> tuple[float, float]:
    return value - _95 * error, value + _95 * error
