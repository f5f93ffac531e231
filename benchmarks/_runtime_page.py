"""Page of `benchmarks.runtime`: speed relative to PyTorch in bfloat16, memory, and perplexity."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks._passes import table

Row = dict[str, Any]

BASE: Final = "torch bf16"
"""Contender that the others' speed is divided by."""


def markdown(facts: Row, rows: Mapping[str, Row]) -> str:
    """Return the page."""
    measured = [name for name, figures in rows[BASE].items() if isinstance(figures, dict)]
    speeds = [[name, *(_speed(each, row[each]) for each in measured)] for name, row in rows.items()]
    others = [[name, *(show(row) for show in _COLUMNS.values())] for name, row in rows.items()]
    page = [
        f"# Decoding on a CPU: {_title(facts)}",
        _SETTING.format(**facts, busy=f"{min(facts['load']):.1f} to {max(facts['load']):.1f}"),
        "Tokens per second of decoding, seconds of prefill, and the speed relative to PyTorch in bfloat16:",
        table(["", *measured], speeds),
        "Start and memory; perplexity where the weights are not random:",
        table(["", *_COLUMNS], others),
        _NOTES,
        *(f"Not measured: {name}; {reason}." for name, reason in facts["missing"].items()),
    ]
    return "\n\n".join(page) + "\n"


def line(name: str, row: Row) -> str:
    """Return the first figures of a contender as one line of progress output."""
    return f"{name}: " + ", ".join(f"{column} {show(row)}" for column, show in _COLUMNS.items() if show(row))


def _title(facts: Row) -> str:
    return "SmolLM2-135M-Instruct" if facts["model"] == "smollm2" else f"{facts['model'].upper()} shape, {facts['blocks']} blocks"


def _speed(measurement: str, figures: Row) -> str:
    shown = f"{figures['tokens'] / figures['seconds']:.1f}" if measurement.startswith("decode") else f"{figures['seconds']:.2f} s"
    return f"{shown} (× {figures['ratio']:.2f})"


def _mib(name: str) -> Any:
    return lambda row: f"{row[name] / 2**20:.0f}" if name in row else ""


_COLUMNS: Final = {
    "matrices, MiB": _mib("matrix_bytes"),
    "resident, MiB": _mib("resident_bytes"),
    "peak, MiB": _mib("peak_bytes"),
    "peak with prefill, MiB": _mib("largest_peak_bytes"),
    "load, s": lambda row: f"{row['load_seconds']:.1f}",
    "first token, s": lambda row: f"{row['first_token_seconds']:.1f}",
    "agreement": lambda row: f"{row['agreement']:.0%}",
    "perplexity": lambda row: f"{row['perplexity']:.2f}" if "perplexity" in row else "",
}

_SETTING: Final = (
    "{machine}, {versions}, kernels of dsnot_runtime: {kernels}, {date}; load average of the machine {busy}. "
    "Batch of 1; {rounds} rounds of {tokens} tokens after 33 in the cache, the same for all."
)

_NOTES: Final = (
    "Matrices: those of the blocks, without embeddings, head and norms; of llama.cpp as in its file. Resident: after the first "
    "decoded tokens, with mapped files. Peak: until then, loading included; with prefill: at the end. Load: from the page "
    "cache, without imports. First token: from the start of the process, with imports, loading and a prompt of 33 tokens. "
    "Agreement: share of 32 positions at which the most probable token is that of PyTorch in bfloat16, dense; of no meaning for "
    "random weights that are pruned. `torch int8` is PyTorch's dynamic quantization, with the head, one scale per matrix. "
    "llama.cpp has the dense model and its own defaults, and is compiled for this processor."
)
