"""Measure the quality of each recipe: criterion x refinement x update x pattern on one model.

    python -m benchmarks.quality MODEL --calibration TEXT --test TEXT --out benchmarks/results/NAME

A TEXT is a file or `data set:split`. Every finished cell is a line of NAME.jsonl and not run again, so the script can be
stopped and restarted. NAME.json and NAME.md are rewritten after every cell.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._recipes import SETS, cells
from benchmarks._tables import markdown

_NAMES = ("calibration", "windows", "length", "test", "tests", "recipe")  # identify a cell


def main() -> None:
    """Run the missing cells."""
    options = _options()
    base = {
        "model": str(options.model),
        "device": options.device,
        "calibration": options.calibration,
        "windows": options.windows,
        "length": options.length,
        "test": options.test,
        "tests": options.test_windows,
    }
    wanted = [{**base, "name": "dense", "pattern": "", "recipe": None}]
    wanted += [{**base, "name": name, "pattern": pattern, "recipe": recipe} for name, pattern, recipe in cells(options.set)]
    wanted = [cell for cell in wanted if cell["recipe"] is None or fnmatch(f"{cell['name']} {cell['pattern']}", options.only)]
    log = options.out.with_suffix(".jsonl")
    log.parent.mkdir(parents=True, exist_ok=True)
    done = {_key(cell) for cell in _read(log)}
    missing = [cell for cell in wanted if _key(_public(cell)) not in done]
    with ThreadPoolExecutor(options.jobs) as pool:
        for cell, result in zip(missing, pool.map(lambda cell: run(cell, options.jobs), missing), strict=True):
            with log.open("a") as file:
                file.write(json.dumps({**_public(cell), **result}) + "\n")
            write(options.out, list(_read(log)), options.jobs)
            print(cell["name"], cell["pattern"], result["perplexity"], flush=True)


def run(cell: dict[str, Any], jobs: int) -> dict[str, Any]:
    """Return the figures of one cell, measured in a process of its own."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    command = [sys.executable, "-m", "benchmarks._cell"]
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, input=json.dumps(cell), capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{cell['name']} {cell['pattern']}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def write(out: Path, done: list[dict[str, Any]], jobs: int) -> None:
    """Write NAME.json and NAME.md."""
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {jobs} cells at a time",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
        "protocol": "calibration windows seeded with 0; test windows without overlap; float32; see benchmarks/_cell.py",
    }
    out.with_suffix(".json").write_text(json.dumps({"about": about, "cells": done}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(out.name, about, done))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _public(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the cell with file names instead of paths."""
    names = {"model": Path(cell["model"]).name, "calibration": Path(cell["calibration"]).name}
    return {**cell, **names, "test": [Path(text).name for text in cell["test"]]}


def _key(cell: dict[str, Any]) -> str:
    return json.dumps([cell[name] for name in _NAMES], sort_keys=True)


def _read(log: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in log.read_text().splitlines()) if log.is_file() else iter(())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--calibration", required=True, help="the text to calibrate on")
    parser.add_argument("--test", required=True, action="append", help="a text to measure on; may be repeated")
    parser.add_argument("--set", choices=SETS, default="main", help="which recipes and patterns")
    parser.add_argument("--only", default="*", help="a pattern for 'recipe pattern', such as '* 60 %%'")
    parser.add_argument("--windows", type=int, default=16, help="calibration windows")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a window")
    parser.add_argument("--test-windows", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time, which share the processor's cores")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
