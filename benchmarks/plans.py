"""Compare the memory and the time that a plan predicts with those of a run, on Llama-shaped checkpoints with random weights.

    python -m benchmarks.plans --out benchmarks/results/plans
    python -m benchmarks.plans --times --runs 10

Memory: every case runs in a process of its own with the imports of a worker's child, in the order of a job: prune with a
journal, then evaluate dense and pruned model and their agreement. Used is the kernel's high-water mark, as in a job's metrics.
Time: with --times, real jobs through an embedded stack with one CPU worker, from 0.5M parameters to SmolLM2-135M; each is
predicted from the runs before it, when it is planned and when two of its blocks are finished.
Finished cases are kept in OUT.json and not run again; the predictions are recomputed each time. CPU only: the results do not
apply to GPUs.
"""

import argparse
import json
import tempfile
from dataclasses import astuple
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import torch

import worker.attempt.runner  # noqa: F401 - the imports of an idle child count as idle memory
from benchmarks._alone import measured_alone
from benchmarks._machine import about
from benchmarks._synthetic import SHAPES, Shape, headers, write
from benchmarks._time_predictions import page
from benchmarks._time_runs import CASES as TIME_CASES
from benchmarks._time_runs import REAL, run_cases
from benchmarks._time_runs import SHAPES as TIME_SHAPES
from service.contract.devices import DeviceClass
from service.contract.spec import EvaluationSpec, JobSpec
from service.models.outline import outline
from service.planning.memory import IDLE_PROCESS, Peak, TextTokens, peak
from worker.engine import Recipe, evaluate, sparsify
from worker.engine.output.journal import Journal
from worker.process.peak_memory import PeakMemory

SIZES: Final = SHAPES | {
    "60M": Shape(512, 1376, 8, 8, 32000),
    "350M": Shape(1024, 2816, 16, 8, 32000),
}
TOLERANCE: Final = 0.15
PRESETS: Final = ("dsnot-paper", "fast", "balanced", "best")
CASES: Final = [  # shape, type, blocks, preset, windows, tokens of a window, windows of the evaluation
    *[("60M", "bfloat16", 2, preset, 16, 256, 8) for preset in PRESETS],
    *[("135M", "bfloat16", blocks, "dsnot-paper", 64, 1024, 12) for blocks in (2, 4)],
    *[("135M", "bfloat16", 2, preset, 16, 512, 12) for preset in PRESETS],
    *[("135M", "bfloat16", 2, preset, 64, 1024, 12) for preset in ("balanced", "best")],
    ("135M", "float32", 2, "dsnot-paper", 16, 1024, 12),
    *[("350M", "bfloat16", 2, preset, 32, 512, 8) for preset in ("dsnot-paper", "balanced", "best")],
    *[("1B", "bfloat16", 2, preset, 8, 512, 4) for preset in PRESETS],
]
Case = tuple[str, str, int, str, int, int, int]
Results = dict[str, Any]
"""Contents of OUT.json: `cases` of memory and runs in `times`, each with what it was measured on."""


def main() -> None:
    """Run the missing cases; with --case, run one case in this process."""
    options = _options()
    if options.case:
        print(json.dumps(measure(tuple(json.loads(options.case)))))
        return
    target = options.out.with_suffix(".json")
    found: Results = {"cases": [], "times": []}
    found |= json.loads(target.read_text()) if target.is_file() else {}
    done = {tuple(each["case"]) for each in found["cases"]}
    for case in CASES if not (options.report or options.times) else ():
        if case not in done:
            found["cases"].append({"case": list(case), **measured_alone("benchmarks.plans", case)})
            print(found["cases"][-1], flush=True)
            write_results(options.out, found | {"about": about()})
    if options.times:
        _run_times(options.out, found, options.runs)
    write_results(options.out, found)


def _run_times(out: Path, found: Results, limit: int) -> None:
    done = {tuple(each["case"]) for each in found["times"]}
    missing = [case for case in TIME_CASES if astuple(case) not in done][:limit]
    if missing:
        found["times_about"] = about() | {"threads": f"PyTorch with {torch.get_num_threads()} of them"}
    for facts in run_cases(missing):
        found["times"].append(facts)
        print(facts["case"], facts["measured"], flush=True)
        write_results(out, found)


def measure(case: Case) -> dict[str, Any]:
    """Return seconds, and peak bytes: `pruning` and `host` (whole run) above the idle process, `host_total` including it."""
    shape, dtype, blocks, preset, windows, length, evaluated = case
    sizes, generator = SIZES[shape], torch.Generator().manual_seed(0)
    tokens = torch.randint(sizes.vocabulary, (windows, length), generator=generator)
    text = torch.randint(sizes.vocabulary, (evaluated, length), generator=generator)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        source = write(folder / "source", sizes, blocks, getattr(torch, dtype))
        memory, started = PeakMemory.start("auto"), perf_counter()
        recipe, journal = Recipe.from_dict({"preset": preset}), Journal(folder / "blocks")
        sparsify(source, folder / "target", recipe, tokens, journal=journal, scratch=folder / "scratch")
        pruning = memory.read()["host"]
        compared = EvaluationSpec().agreement_windows
        states = evaluate(source, text, scratch=folder / "scratch", keep=min(compared, evaluated)).states
        evaluate(folder / "target", text, scratch=folder / "scratch", dense=states)
        return {"seconds": round(perf_counter() - started, 1), "pruning": pruning, **memory.read()}


def predicted(case: Case) -> Peak:
    """Return the memory that a plan predicts for the job of a case."""
    shape, dtype, blocks, preset, windows, length, evaluated = case
    spec = JobSpec.model_validate(
        {
            "model": {"source": "local", "id": "synthetic"},
            "recipe": {"preset": preset},
            "calibration": {"num_samples": windows, "sequence_length": length},
            "evaluation": {"perplexity": ["wikitext2"], "sequence_length": length, "max_windows": evaluated},
        }
    )
    model = outline(headers(SIZES[shape], blocks, getattr(torch, dtype)))
    return peak(model, spec, DeviceClass.CPU, TextTokens(longest=0, evaluated=evaluated * length))


def write_results(out: Path, found: Results) -> None:
    """Write OUT.json and OUT.md."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    lines = _memory_section(found["about"], found["cases"]) if found["cases"] else []
    if found["times"]:
        lines += _time_section(found["times_about"], found["times"])
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _time_section(facts: dict[str, str], runs: list[dict[str, Any]]) -> list[str]:
    sizes = {name: outline(headers(shape, blocks)).parameters for name, (shape, blocks) in TIME_SHAPES.items()}
    return [
        "",
        "# Time: predicted by a plan and taken by a run",
        "",
        f"{len(runs)} jobs one after another on one CPU worker of an embedded stack; {', '.join(facts.values())}.",
        f"Random checkpoints of Llama's shape with {min(sizes.values()):,} to {max(sizes.values()):,} parameters, and {REAL}.",
        "Each is predicted from the runs above it alone, with its range, and again when two of its own blocks were done.",
        "No prediction beyond 10 times the largest or smallest run before it: `after 2 blocks`.",
        "",
        *page(runs),
    ]


def _memory_section(facts: dict[str, str], cases: list[dict[str, Any]]) -> list[str]:
    rows = [(case, predicted(tuple(case["case"])).host.bytes) for case in cases]
    ratios = [guess / case["host_total"] for case, guess in rows]
    close = sum(abs(ratio - 1) <= TOLERANCE for ratio in ratios)
    lines = [
        "# Memory: predicted by a plan and used by a run",
        "",
        f"Random checkpoints of Llama's shape, 50 %, pruned and evaluated on a CPU; {', '.join(facts.values())}.",
        "MiB of the process at its peak, and above an idle worker; nothing was measured on a GPU.",
        "",
        f"Within {TOLERANCE:.0%} of the whole: {close} of {len(ratios)}. Ratios: {min(ratios):.2f} to {max(ratios):.2f}.",
        "",
        "| shape | blocks | preset | tokens | evaluated | used | predicted | ratio | above idle | predicted | ratio |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (case, guess), ratio in zip(rows, ratios, strict=True):
        shape, dtype, blocks, preset, windows, length, evaluated = case["case"]
        above = guess - IDLE_PROCESS
        figures = [_mib(case["host_total"]), _mib(guess), f"{ratio:.2f}"]
        figures += [_mib(case["host"]), _mib(above), f"{above / case['host']:.2f}"]
        about_case = f"{shape} {dtype} | {blocks} | {preset} | {windows} x {length} | {evaluated} x {length}"
        lines.append(f"| {about_case} | {' | '.join(figures)} |")
    return lines


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--times", action="store_true", help="measure run times instead of memory")
    parser.add_argument(
        "--runs", type=int, default=len(TIME_CASES), metavar="N", help="with --times: at most N of the missing runs"
    )
    parser.add_argument("--report", action="store_true", help="run nothing; recompute the predictions for the finished cases")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/plans"), help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
