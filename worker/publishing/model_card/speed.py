"""Section of the model card on speed, as measured on one machine."""

from worker.evaluation.speed.stage import ModelSpeed, Speed
from worker.publishing.model_card.markdown import plain

_NAMES = {"dense": "dense original", "pruned": "pruned, dense kernels", "sparse": "pruned, 2:4 kernels"}


def speed_section(speed: Speed) -> str:
    """Return the section as Markdown."""
    timed = {name: found for name in _NAMES if (found := getattr(speed, name)) is not None}
    setting = (
        f"Measured on {plain(speed.device)} with transformers, one sequence at a time, {speed.threads} threads on the host: "
        f"prefill of a prompt of {speed.prompt_tokens} tokens, then decoding of {speed.new_tokens}. Medians, extremes in "
        "brackets; differences within these are noise."
    )
    rows = [_row(_NAMES[name], found) for name, found in timed.items()]
    head = ["| model | prefill, tokens/s | decode, tokens/s | weights in memory | peak |", "|---|---|---|---|---|"]
    parts = ["## Speed", setting, "\n".join([*head, *rows])] if timed else ["## Speed"]
    return "\n\n".join([*parts, *([f"Not measured: {speed.why_not}"] if speed.why_not else [])])


def _row(name: str, found: ModelSpeed) -> str:
    rates = (f"{each.median:,.1f} ({each.lowest:,.1f} to {each.highest:,.1f})" for each in (found.prefill, found.decode))
    sizes = (f"{size / 2**20:,.0f} MiB" for size in (found.weight_bytes, found.peak_bytes))
    return f"| {' | '.join([name, *rates, *sizes])} |"
