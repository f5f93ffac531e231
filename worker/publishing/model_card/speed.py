"""Section of the model card on speed, as measured on one machine."""

from collections.abc import Sequence
from typing import Final

from service.contract.speed_ways import WAYS
from worker.evaluation.speed.stage import ModelSpeed, Speed
from worker.publishing.model_card.markdown import plain

_PACKED: Final = (
    "Packed: loaded with `quantization_config=dsnot_runtime.SparseConfig()`, which keeps pruned matrices in memory as bits and "
    'kept values and reads only these when it decodes; int8 also rounds the kept values (`values="int8"`).'
)


def speed_section(speed: Speed) -> str:
    """Return the section as Markdown."""
    models = {title: found for way, title in WAYS.items() if (found := getattr(speed, way)) is not None}
    lengths = sorted({length for found in models.values() for length in found.prefills})
    setting = (
        f"Measured on {plain(speed.device)} with transformers, one sequence at a time, {speed.threads} threads on the host: "
        f"prefill of prompts, and decoding of {speed.new_tokens} tokens after {speed.prompt_tokens}. Medians, extremes in "
        "brackets; differences within these are noise."
    )
    rows = [_row(title, found, lengths) for title, found in models.items()]
    columns = [
        "model",
        "decode, tokens/s",
        *(f"prefill of {length}, tokens/s" for length in lengths),
        "weights in memory",
        "peak",
    ]
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    parts = ["## Speed", setting, "\n".join([*head, *rows])] if models else ["## Speed"]
    if speed.packed or speed.packed_int8:
        parts.append(_PACKED)
    return "\n\n".join([*parts, *([f"Not measured: {speed.why_not}"] if speed.why_not else [])])


def _row(name: str, found: ModelSpeed, lengths: Sequence[int]) -> str:
    measured = [found.decode, *(found.prefills.get(length) for length in lengths)]
    rates = (f"{each.median:,.1f} ({each.lowest:,.1f} to {each.highest:,.1f})" if each else "" for each in measured)
    sizes = (f"{size / 2**20:,.0f} MiB" for size in (found.weight_bytes, found.peak_bytes))
    return f"| {' | '.join([name, *rates, *sizes])} |"
