"""Measure the peak memory of pruning against the size of the model, on Llama-shaped checkpoints with random weights.

    python -m benchmarks.memory --out benchmarks/results/memory

Every case (shape, blocks, recipe, tokens) runs in a process of its own. Its peak is the kernel's high-water mark above that of
a process that has only imported the engine. Finished cases are kept in OUT.json and not run again.
"""

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks._alone import measured_alone
from benchmarks._machine import about
from benchmarks._synthetic import SHAPES, write
from worker.engine import Recipe, sparsify
from worker.process.peak_memory import PeakMemory

NO = {"method": "none"}
RECIPES: dict[str, dict[str, Any]] = {
    "magnitude": {"criterion": "magnitude", "refinement": NO},
    "wanda": {"refinement": NO},
    "dsnot-paper": {"preset": "dsnot-paper"},
    "balanced": {"preset": "balanced"},
    "best": {"preset": "best"},
}
CASES = [  # shape, blocks, recipe, windows, tokens of a window
    *[("135M", blocks, "dsnot-paper", 64, 1024) for blocks in (4, 8, 16)],
    *[("135M", 4, recipe, 64, 1024) for recipe in ("magnitude", "balanced", "best")],
    *[("1B", 2, recipe, 8, 1024) for recipe in ("dsnot-paper", "balanced", "best")],
    *[("8B", blocks, "dsnot-paper", 8, 512) for blocks in (1, 2, 4)],
    *[("8B", blocks, "magnitude", 8, 512) for blocks in (2, 4, 8)],
]


def main() -> None:
    """Run the missing cases; with --case, run one case in this process."""
    options = _options()
    if options.case:
        print(json.dumps(measure(*json.loads(options.case))))
        return
    target = options.out.with_suffix(".json")
    cases: list[dict[str, Any]] = json.loads(target.read_text())["cases"] if target.is_file() else []
    done = {tuple(case["case"]) for case in cases}
    wanted = [tuple(json.loads(text)) for text in options.only] or CASES
    for case in wanted:
        if case not in done:
            cases.append({"case": list(case), "date": about()["date"], **measured_alone("benchmarks.memory", case)})
            print(case, cases[-1], flush=True)
            write_results(options.out, cases)


def measure(shape: str, blocks: int, recipe: str, windows: int, length: int) -> dict[str, Any]:
    """Return seconds, and bytes: activations of one pass, a stored block, the model, and the peak above the idle process."""
    sizes = SHAPES[shape]
    tokens = torch.randint(sizes.vocabulary, (windows, length), generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        source = write(folder / "source", sizes, blocks)
        memory, started = PeakMemory.start("auto"), perf_counter()
        sparsify(source, folder / "target", Recipe.from_dict(RECIPES[recipe]), tokens, scratch=folder / "scratch")
        return {
            "seconds": perf_counter() - started,
            "activations": windows * length * sizes.width * 2,
            "block": sizes.block_parameters * 2,
            "model": blocks * sizes.block_parameters * 2 + 2 * sizes.vocabulary * sizes.width,
            "peak": memory.read(),
        }


def write_results(out: Path, cases: list[dict[str, Any]]) -> None:
    """Write OUT.json and OUT.md."""
    facts = [fact for name, fact in about().items() if name != "date"]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"about": about(), "cases": cases}, indent=1) + "\n")
    lines = [
        "# Peak memory of pruning",
        "",
        f"Random bfloat16 checkpoints of Llama's shape, 50 %, {', '.join(facts)}.",
        "Sizes in MiB; the peak is above an idle process.",
        "",
        "| shape | blocks | recipe | tokens | model | a block | activations | peak | peak less activations | s | date |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for case in cases:
        shape, blocks, recipe, windows, length = case["case"]
        sizes = [case["model"], case["block"], case["activations"], case["peak"]["host"]]
        figures = [f"{size / 2**20:.0f}" for size in (*sizes, sizes[-1] - case["activations"])]
        what = f"{shape} | {blocks} | {recipe} | {windows} x {length}"
        lines.append(f"| {what} | {' | '.join(figures)} | {case['seconds']:.0f} | {case['date']} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help='cases to run, such as ["8B", 32, "magnitude", 8, 512]')
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/memory"), help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
