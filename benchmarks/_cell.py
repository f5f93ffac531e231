"""One cell of `benchmarks.quality`, in a process of its own, so that its peak memory is its own.

Protocol, that of Wanda, SparseGPT and DSnoT: a text is tokenised once; calibration windows begin at positions drawn by `random`
with seed 0; test windows are the first ones, without overlap.
"""

import json
import random
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from worker.engine import Recipe, perplexity, sparsify
from worker.engine.activations.capture import record
from worker.engine.model.loading import choose_device, loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import SparsityReport
from worker.inputs.datasets import read_text

_CACHE = Path(tempfile.gettempdir()) / "dsnot-benchmarks"


def token_ids(model: Path, text: str) -> Tensor:
    """Return the tokens of a file, or of `data set:split`, as one sequence."""
    content = _content(Path(text)) if Path(text).is_file() else "\n\n".join(read_text(text, _CACHE))
    return torch.tensor(AutoTokenizer.from_pretrained(model)(content, verbose=False)["input_ids"])


def _content(file: Path) -> str:
    """Return the text of a file; the rows of a WikiText file (`.raw`), one per line, are joined as is usual, blank ones empty."""
    content = file.read_text(encoding="utf-8")
    if file.suffix != ".raw":
        return content
    return "\n\n".join(line if line.strip() else "" for line in content.splitlines(keepends=True))


def calibration_windows(ids: Tensor, windows: int, length: int) -> Tensor:
    """Return windows (windows, length) at positions drawn with seed 0."""
    source = random.Random(0)  # noqa: S311
    starts = [source.randint(0, len(ids) - length - 1) for _ in range(windows)]
    return torch.stack([ids[start : start + length] for start in starts])


def test_windows(ids: Tensor, windows: int, length: int) -> Tensor:
    """Return the first windows (windows, length)."""
    return ids[: windows * length].view(windows, length)


def forward_seconds(model: Path, tokens: Tensor, device: str) -> float:
    """Return the unit of time: seconds of one pass through all dense blocks, extrapolated from every eighth."""
    arch, target = load_structure(model), choose_device(device)
    stream = record(arch, tokens, target, lambda: None)
    seconds = 0.0
    chosen = list(enumerate(arch.blocks))[::8]
    for index, block in chosen:
        with loaded_block(arch, block, target) as layer:
            started = perf_counter()
            stream.copy().advance(layer, index, block.name, lambda: None)
            seconds += perf_counter() - started
    return seconds * len(arch.blocks) / len(chosen)


def measure(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a cell, without a recipe those of the dense model, with the unit of time of this process."""
    model, device = Path(cell["model"]), cell["device"]
    tokens = calibration_windows(token_ids(model, cell["calibration"]), cell["windows"], cell["length"])
    unit = forward_seconds(model, tokens, device)
    if cell["recipe"] is None:
        return {"unit": unit, "perplexity": _perplexities(model, cell)}
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        report = sparsify(model, Path(folder), Recipe.from_dict(cell["recipe"]), tokens, device=device)
        total = perf_counter() - started
        return {"perplexity": _perplexities(Path(folder), cell, model), **_figures(report), "total": total, "unit": unit}


def _figures(report: SparsityReport) -> dict[str, Any]:
    summary = {key: value for key, value in asdict(report.total).items() if key != "seconds"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB
    return {**summary, "seconds": report.seconds, "peak_mib": peak, "warnings": report.warnings}


def _perplexities(pruned: Path, cell: dict[str, Any], tokenizer: Path | None = None) -> dict[str, float]:
    windows = {text: test_windows(token_ids(tokenizer or pruned, text), cell["tests"], cell["length"]) for text in cell["test"]}
    return {Path(text).name: perplexity(pruned, tokens, device=cell["device"]).value for text, tokens in windows.items()}


if __name__ == "__main__":
    print("\n" + json.dumps(measure(json.load(sys.stdin))))
