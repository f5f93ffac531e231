"""Measure what pruning costs in forward passes: each preset against the bare forward pass of the same tokens.

    python -m benchmarks.speed MODEL --calibration TEXT --out benchmarks/results/speed-NAME

The unit is one pass of the calibration tokens through all dense blocks, as they are loaded, in the type that the engine
computes in. It is measured before and after every preset, in the same process, and a preset is held against the mean of
its two neighbours, so that a machine that slows down slows both. Nothing else may run beside it.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks._cell import calibration_windows, token_ids
from benchmarks._machine import about
from worker.engine import Recipe, sparsify
from worker.engine.architectures import take_apart
from worker.engine.calibration import record
from worker.engine.loading import choose_device, compute_dtype, loaded_block
from worker.engine.report import Part

PATTERN = {"type": "unstructured", "sparsity": 0.6}
OTHERS = {"wanda": {"refinement": {"method": "none"}}}  # what is no preset
AIMS = {"dsnot-paper": 2.3, "balanced": 4.5, "best": 6.0}  # whole run, in units


def main() -> None:
    """Measure and write."""
    options = _options()
    tokens = calibration_windows(token_ids(options.model, options.calibration), options.windows, options.length)
    units = [forward_seconds(options.model, tokens, options.device)]
    rows = []
    for preset in options.presets:
        row = run(options.model, preset, tokens, options.device)
        units.append(forward_seconds(options.model, tokens, options.device))
        rows.append({"preset": preset, "unit": fmean(units[-2:]), **row})
        print(_line(rows[-1]), flush=True)
    write(options, rows, units)


def forward_seconds(model: Path, tokens: Tensor, device: str) -> float:
    """Seconds for the tokens (samples, length) to go through all blocks; loading a block is not counted."""
    arch, target = take_apart(model), choose_device(device)
    stream = record(arch, tokens, target, lambda: None)
    seconds = 0.0
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, target) as layer:
            started = perf_counter()
            stream.advance(layer, index, block.name, lambda: None)
            seconds += perf_counter() - started
    return seconds


def run(model: Path, preset: str, tokens: Tensor, device: str) -> dict[str, Any]:
    """Seconds of a whole run of the engine, and of its parts."""
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        recipe = Recipe.from_dict(OTHERS.get(preset, {"preset": preset}) | {"pattern": PATTERN})
        report = sparsify(model, Path(folder), recipe, tokens, device=device)
        return {"seconds": perf_counter() - started, "parts": report.seconds}


def write(options: argparse.Namespace, rows: list[dict[str, Any]], units: list[float]) -> None:
    """OUT.json and OUT.md."""
    arch = take_apart(options.model)
    facts = about() | {
        "model": options.model.name,
        "dtype": str(compute_dtype(arch.model, choose_device(options.device))).removeprefix("torch."),
        "tokens": f"{options.windows} x {options.length}",
        "threads": torch.get_num_threads(),
        "units": units,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps({"about": facts, "presets": rows}, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(markdown(facts, rows))


def markdown(facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The table: everything in units."""
    parts = list(map(str, Part))
    head = ["preset", "whole run", "aim", *parts]
    units = facts["units"]
    setting = ", ".join(str(facts[name]) for name in ("machine", "versions", "date"))
    protocol = f"{facts['model']} in {facts['dtype']}, {facts['tokens']} calibration tokens, 60 %, {setting}."
    unit = f"One pass through the dense blocks takes {fmean(units):.1f} s ({min(units):.1f} to {max(units):.1f})."
    lines = [
        "# What presets cost in forward passes",
        "",
        f"{protocol} {unit}",
        "",
        f"| {' | '.join(head)} |",
        "|---|" + "---:|" * (len(head) - 1),
    ]
    for row in rows:
        cells = [row["parts"][part] / row["unit"] for part in parts]
        aim = AIMS.get(row["preset"])
        figures = [f"{row['seconds'] / row['unit']:.2f}", f"≤ {aim}" if aim else "–", *(f"{cell:.2f}" for cell in cells)]
        lines.append(f"| {row['preset']} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {seconds / row['unit']:.2f}" for part, seconds in row["parts"].items())
    return f"{row['preset']}: {row['seconds'] / row['unit']:.2f} forward passes of {row['unit']:.1f} s ({parts})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--calibration", required=True, help="the text to calibrate on: a file or data set:split")
    parser.add_argument("--presets", nargs="+", default=["wanda", "dsnot-paper", "fast", "balanced", "best"])
    parser.add_argument("--windows", type=int, default=64, help="calibration windows")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a window")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="where to write, without a suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
