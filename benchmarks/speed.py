"""Measure the cost of pruning in forward passes: each preset, and peers, against a plain forward pass of the same tokens.

    python -m benchmarks.speed MODEL --calibration TEXT --out benchmarks/results/speed-NAME

The unit is one pass of the calibration tokens through all dense blocks, as they are loaded, in the engine's compute dtype. It
is measured before and after every preset and peer, which are divided by the mean of the two, so that changes in the machine's
speed cancel out. Nothing else may run on the machine. Peers need `make peers` once.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks import _peers
from benchmarks._cell import calibration_windows, token_ids
from benchmarks._machine import about
from benchmarks._masks import zeros
from benchmarks._passes import Row, line, markdown
from service.contract.engine_sizes import TOKENS_PER_BATCH
from worker.engine import Recipe, sparsify
from worker.engine.activations.capture import record, samples_per_batch
from worker.engine.model.loading import choose_device, compute_dtype, loaded_block
from worker.engine.model.structure import load_structure

SPARSITY = 0.6
PATTERN = {"type": "unstructured", "sparsity": SPARSITY}
NO = {"method": "none"}
OTHERS: dict[str, dict[str, Any]] = {  # recipes that are not presets
    "wanda": {"refinement": NO},
    "sparsegpt": {"criterion": "obs", "refinement": NO, "update": {"method": "obs"}},
}


def main() -> None:
    """Measure all rows, rewriting the results after each."""
    options = _options()
    tokens = calibration_windows(token_ids(options.model, options.calibration), options.windows, options.length)
    facts = _facts(options)
    if facts["no_peers"]:
        print(f"No peers: {facts['no_peers']}.", flush=True)
    units, rows = facts["units"], []
    units.append(forward_seconds(options.model, tokens, options.device))
    for measure in _measurements(options, tokens, facts):
        row = measure()
        units.append(forward_seconds(options.model, tokens, options.device))
        rows.append({**row, "unit": fmean(units[-2:])})
        print(line(rows[-1]), flush=True)
        write(options.out, facts, rows)


def _measurements(options: argparse.Namespace, tokens: Tensor, facts: Row) -> Iterator[Callable[[], Row]]:
    """Yield all measurements in order, as functions that return a row."""
    masks: dict[str, Any] = {}
    for preset in options.presets:
        yield partial(run, options.model, preset, tokens, options.device, masks)
    for name in [] if facts["no_peers"] else options.peers:
        for dtype in options.peer_dtypes or [facts["dtype"]]:
            setting = _peers.Setting(str(options.model), SPARSITY, dtype, facts["batch"], facts["threads"])
            yield partial(_peers.run, _peers.PEERS[name], setting, tokens, masks)


def forward_seconds(model: Path, tokens: Tensor, device: str) -> float:
    """Return the seconds of the tokens (samples, length) through all blocks, without loading the blocks."""
    arch, target = load_structure(model), choose_device(device)
    stream = record(arch, tokens, target, lambda: None)
    seconds = 0.0
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, target) as layer:
            started = perf_counter()
            stream.advance(layer, index, block.name, lambda: None)
            seconds += perf_counter() - started
    return seconds


def run(model: Path, preset: str, tokens: Tensor, device: str, masks: dict[str, Any]) -> Row:
    """Return the seconds of a whole run of the engine, and of its parts. Wanda's masks are added to `masks`."""
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        recipe = Recipe.from_dict(OTHERS.get(preset, {"preset": preset}) | {"pattern": PATTERN})
        report = sparsify(model, Path(folder), recipe, tokens, device=device)
        seconds = perf_counter() - started
        if preset == "wanda":
            masks.update(zeros(Path(folder)))
        return {"preset": preset, "seconds": seconds, "parts": report.seconds}


def _facts(options: argparse.Namespace) -> Row:
    """Return the setting of the measurements."""
    arch, device = load_structure(options.model), choose_device(options.device)
    return about() | {
        "model": options.model.name,
        "dtype": str(compute_dtype(arch.model)).removeprefix("torch."),
        "tokens": f"{options.windows} x {options.length}",
        "batch": samples_per_batch(arch, options.length, TOKENS_PER_BATCH),
        "threads": torch.get_num_threads(),
        "no_peers": _peers.unavailable_reason(device) if options.peers else None,
        "units": [],
    }


def write(out: Path, facts: Row, rows: list[Row]) -> None:
    """Write OUT.json and OUT.md."""
    presets = [row for row in rows if "preset" in row]
    peers = [row for row in rows if "preset" not in row]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"about": facts, "presets": presets, "peers": peers}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(facts, presets, peers))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--calibration", required=True, help="the text to calibrate on: a file or data set:split")
    parser.add_argument("--presets", nargs="*", default=["wanda", "dsnot-paper", "sparsegpt", "fast", "balanced", "best"])
    parser.add_argument("--peers", nargs="*", choices=_peers.PEERS, default=list(_peers.PEERS), help="runs of llmcompressor")
    parser.add_argument("--peer-dtypes", nargs="+", help="dtypes that peers compute in (default: the engine's)")
    parser.add_argument("--windows", type=int, default=64, help="calibration windows")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a window")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
