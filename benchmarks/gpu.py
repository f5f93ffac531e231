"""Predict the cost of pruning on a GPU from a simulation, and measure it on a real one.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --device cuda:0     (also: make gpu)

Without --device: for every preset on the shapes of Llama-2 7B, 13B and 70B with 128 × 2048 calibration tokens, the engine's
launches, host synchronisations, copies and files are counted on a simulated GPU, one block multiplied by the number of blocks,
and turned into seconds by stated rates. Nothing of that is measured. Needs PyTorch's build for CPUs. Finished cases are kept in
OUT.json and not run again.

With --device, on a host with a GPU, within 15 minutes: tests/gpu, one block of the 7B shape per preset with its peak memory, the
kernels for 2:4 at 1 to 4096 rows, and a job through a worker of an embedded stack. Each part is a process of its own with a
limit; the figures are in benchmarks/results/gpu-device.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch

from benchmarks import _gpu_device
from benchmarks import _gpu_walk as walks
from benchmarks._alone import measured_alone
from benchmarks._gpu_page import BARE, PRESETS, figures, setting
from benchmarks._gpu_swaps import loops_of_block
from benchmarks._machine import about
from worker.engine import Recipe

CASES: Final = [(shape, case) for shape in ("7B", "13B", "70B") for case in (BARE, *PRESETS)]
RESULTS: Final = Path("benchmarks/results")


def main() -> None:
    """Run the missing cases, or measure on a device; with --case or --part, run one in this process."""
    options = _options()
    if options.case:
        print(json.dumps(predict(*json.loads(options.case))))
    elif options.part:
        print(json.dumps(_gpu_device.measure(options.part, options.device, options.scratch)))
    elif options.device:
        _gpu_device.check(options.device)
        _gpu_device.run(options.device, options.out or RESULTS / "gpu-device", _found(RESULTS / "gpu.json"))
    else:
        _predict_all(options.out or RESULTS / "gpu", options.shapes)


def _predict_all(out: Path, shapes: list[str]) -> None:
    if torch.version.cuda or torch.version.hip:
        raise SystemExit("Predictions need PyTorch's build for CPUs, and this one is for GPUs: measure with --device cuda:0.")
    found = _found(out.with_suffix(".json"))
    done = {tuple(case["case"]) for case in found}
    for case in CASES:
        if case[0] in shapes and case not in done:
            found.append({"case": list(case), **measured_alone("benchmarks.gpu", case)})
            print(case, f"{found[-1]['block']['seconds']:.3f} s a block", flush=True)
            _gpu_device.write(out, about() | setting(), figures(found), "Pruning on a GPU, predicted", {"cases": found})
    _gpu_device.write(out, about() | setting(), figures(found), "Pruning on a GPU, predicted", {"cases": found})


def predict(shape: str, case: str) -> dict[str, Any]:
    """Return the work of one block at all samples, that before the first block, and the peak of the device's memory."""
    sizes, _ = walks.SHAPES[shape]
    if case == BARE:
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            some, more = (walks.bare_pass(sizes, samples, Path(folder, str(samples))) for samples in walks.WALKED)
        return {"block": asdict(walks.at_samples(some, more))}
    recipe, found = Recipe.from_dict({"preset": case}), []
    for samples in walks.WALKED:
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            found.append(walks.walk(sizes, recipe, samples, Path(folder)))
    few, many = found
    loops = loops_of_block(sizes, recipe)
    return {
        "before": asdict(walks.at_samples(few.before, many.before)),
        "block": asdict(walks.at_samples(few.block, many.block).add(loops)),
        "per_sample": (many.block.cost.launches - few.block.cost.launches) / (walks.WALKED[1] - walks.WALKED[0]),
        "loops": asdict(loops),
        "peak": many.peak,
        "lines": {place: asdict(cost) for place, cost in many.lines.items()},
    }


def _found(target: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(target.read_text())["cases"] if target.is_file() else []
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="measure on this GPU, such as cuda:0, in place of predicting")
    parser.add_argument("--shapes", nargs="*", choices=["7B", "13B", "70B"], default=["7B", "13B", "70B"], help="to predict")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
