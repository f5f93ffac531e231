"""Figures: what a job has measured, by name, with 95 % intervals where the measurement has one.

A name is `perplexity:wiki-sample:test`, `acc:arc_easy`, `seconds`: the quantity, and what it was measured on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.contract.readings import RATES, Better, Quantity, readings

_UPWARDS: Final = frozenset({"sparsity"})


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
    found = {}
    for quantity, reading in readings(metrics or {}):
        if quantity.model == model or (quantity.model is None and model == "pruned"):
            better: Better | None = "higher" if quantity.name in _UPWARDS else quantity.better
            low, high = reading.interval or (None, None)
            found[_name(quantity)] = Figure(reading.value, low, high, better)
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
    return quantity.name if quantity.on is None or quantity.name in RATES else f"{quantity.name}:{quantity.on}"
