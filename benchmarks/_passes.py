"""Page of `benchmarks.speed`: every cost in forward passes of the calibration tokens."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final

from worker.engine.report import Part

AIMS: Final = {"dsnot-paper": 2.3, "balanced": 4.5, "best": 6.0}
"""Maximum cost of a preset's whole run, in forward passes."""
_PARTS: Final = tuple(map(str, Part))

Row = dict[str, Any]


def markdown(facts: Row, presets: Sequence[Row], peers: Sequence[Row]) -> str:
    """Return the page: costs in forward passes, by part for presets and as a whole for peers."""
    units = facts["units"]
    setting = ", ".join(str(facts[name]) for name in ("machine", "versions", "date"))
    protocol = f"{facts['model']} in {facts['dtype']}, {facts['tokens']} calibration tokens, 60 %, {setting}."
    unit = f"One pass through the dense blocks takes {fmean(units):.1f} s ({min(units):.1f} to {max(units):.1f})."
    costs = table(["preset", "whole run", "aim", *_PARTS], [_costs(row) for row in (*presets, *_measured(peers))])
    page = ["# Cost of presets in forward passes", f"{protocol} {unit}", costs]
    return "\n\n".join([*page, *_about(peers, facts)]) + "\n"


def line(row: Row) -> str:
    """Return a row as one line of progress output."""
    name = title(row)
    if "failed" in row:
        return f"{name}: failed, {row['failed']}"
    parts = {part: row["parts"][part] for part in _PARTS} if "parts" in row else {"its own forward pass": row["forward"]}
    shown = ", ".join(f"{part} {seconds / row['unit']:.2f}" for part, seconds in parts.items())
    return f"{name}: {row['seconds'] / row['unit']:.2f} forward passes of {row['unit']:.1f} s ({shown})"


def title(row: Row) -> str:
    """Return the name of a row's preset or peer."""
    return row.get("preset") or f"llmcompressor {row['algorithm']}, {row['pipeline']}, {row['dtype']}"


def _measured(peers: Sequence[Row]) -> list[Row]:
    return [row for row in peers if "failed" not in row]


def _costs(row: Row) -> list[str]:
    aim = AIMS.get(row.get("preset", ""))
    parts = [f"{row['parts'][part] / row['unit']:.2f}" if "parts" in row else "" for part in _PARTS]
    return [title(row), f"{row['seconds'] / row['unit']:.2f}", f"≤ {aim}" if aim else "–", *parts]


def _about(peers: Sequence[Row], facts: Row) -> list[str]:
    """Return the section on the peers: their setting, and whether they did the same work."""
    if not peers:
        return ["## Peers", f"None measured: {facts['no_peers']}."] if facts.get("no_peers") else []
    measured, failed = _measured(peers), [row for row in peers if "failed" in row]
    versions = dict.fromkeys(row["versions"] for row in measured)
    threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    head = ["peer", "its own forward pass", "whole run in its own passes", "sparsity", "matrices", "mask agreement with ours"]
    return [
        "## Peers",
        _SETTING.format(versions="; ".join(versions) or "no version", batch=facts["batch"], threads=threads),
        *([table(head, [_work(row) for row in measured])] if measured else []),
        *([f"* {title(row)} failed: {row['failed']}" for row in failed]),
    ]


_SETTING: Final = (
    "{versions}; the same tokens, up to {batch} windows at a time, {threads}, each run in a process of its own. The time "
    "is that of the library's `Oneshot` on a loaded model, without saving; the presets' whole run includes reading and "
    "writing. Its modifiers have their defaults, with `targets` the linear layers and without the head. `sequential` is the "
    "pipeline that the library chooses for pruning, `basic` its fastest: one pass through the dense model, then all matrices "
    "are pruned. Its own forward pass is that of the plain model in its process, with the attention that transformers "
    "chooses; during calibration the library forces eager attention. Mask agreement is the share of weights that both prune or "
    "both keep; two random masks of 60 % agree on 52 %."
)


def _work(row: Row) -> list[str]:
    differences = [f"without {name}" for name in row["left_out"]] + [f"and {name}" for name in row["added"]]
    agreement = row["agreement"]
    return [
        title(row),
        f"{row['forward'] / row['unit']:.2f}",
        f"{row['seconds'] / row['forward']:.2f}",
        f"{row['sparsity']:.2%}",
        ", ".join([f"{row['matrices']}, the same" if not differences else str(row["matrices"]), *differences]),
        "–" if agreement is None else f"{agreement:.2%}",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column holds names and whose others hold figures."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)])
