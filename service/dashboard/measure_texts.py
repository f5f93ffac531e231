"""Names, units and formats of measures, the same in comparisons and sweeps."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.dashboard.formats import SHARES, duration, figure, percent, share, size

_NAMES: Final = {
    "acc": "Accuracy",
    "acc_norm": "Accuracy, length-normalized",
    "perplexity_ratio": "Perplexity ratio",
    "kl_divergence": "KL divergence",
    "kl_p99": "KL divergence, 99th percentile",
    "top1_agreement": "Top-1 agreement",
    "repetition": "Repeated 4-grams of samples",
    "equal_tokens": "Equal first tokens of samples",
    "prefill_tokens_per_second": "Prefill throughput",
    "decode_tokens_per_second": "Decode throughput",
    "artifact_bytes": "Artifact",
    "packed_bytes": "Packed weights",
    "seconds": "Time",
    "peak_host_bytes": "Peak memory, host",
    "peak_device_bytes": "Peak memory, device",
}
_LOG_SPAN: Final = 3
"""Ratio of the largest to the smallest value from which on a logarithmic scale is the default."""
_UNITS: Final = {
    "perplexity_ratio": "dense model = 1",
    "kl_divergence": "nats per token",
    "kl_p99": "nats per token",
    "prefill_tokens_per_second": "tokens per second",
    "decode_tokens_per_second": "tokens per second",
}


def name_of(quantity: str) -> str:
    """Return a quantity's name as a heading."""
    return _NAMES.get(quantity, quantity.replace("_", " ").capitalize())


def title_of(quantity: str, on: str | None) -> str:
    """Return the quantity with its data set: `Perplexity on wiki-sample:test`."""
    return name_of(quantity) + (f" on {on}" if on else "")


def axis_of(quantity: str, on: str | None) -> Mapping[str, str]:
    """Return title and format of a chart's axis; the title has the unit if formatted values carry none."""
    title, unit = title_of(quantity, on), _UNITS.get(quantity)
    return {"title": f"{title}, {unit}" if unit else title, "kind": kind_of(quantity)}


def is_logarithmic(values: Sequence[float], scale: str) -> bool:
    """Return whether an axis is logarithmic: as the scale says, `log` or `linear`, else by the span of the values."""
    is_possible = bool(values) and min(values) > 0
    return is_possible and (scale == "log" or (not scale and max(values) > _LOG_SPAN * min(values)))


def kind_of(quantity: str) -> str:
    """Return the format of a quantity's values: `share`, `bytes`, `seconds` or `number`."""
    if quantity.endswith("bytes"):
        return "bytes"
    return "share" if quantity in SHARES or quantity == "sparsity" else "seconds" if quantity == "seconds" else "number"


def value_text(quantity: str, value: Any) -> str:
    """Return a value in its quantity's format; a dash for None."""
    kind = kind_of(quantity)
    if kind in ("bytes", "seconds"):
        return size(value) if kind == "bytes" else duration(value)
    if quantity in SHARES:
        return percent(value)
    return share(value) if kind == "share" else figure(value)
