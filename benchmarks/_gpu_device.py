"""Parts of `benchmarks.gpu --device`: what is measured on a real GPU, each in a process of its own with a limit in seconds."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import torch
from torch import nn

from benchmarks._figures import Figure, markdown
from benchmarks._first_block import prune_first_block
from benchmarks._gpu_page import PRESETS, file_seconds, planned_bytes
from benchmarks._gpu_walk import LENGTH, SAMPLES, SHAPES
from benchmarks._machine import about
from benchmarks._synthetic import Shape
from benchmarks._synthetic import write as write_model
from benchmarks._time_runs import REAL, run_cases
from benchmarks._time_runs import Case as Job
from worker.engine import Recipe
from worker.evaluation.speed.sparse_kernels import NoSparseKernels, check_device, with_sparse_kernels
from worker.gpu_probe import find

BUDGET: Final = 15 * 60
PARTS: Final = {"tests": 100, **{f"block {preset}": 110 for preset in PRESETS}, "kernels": 60, "job": 180}
"""Names of the parts and their limits in seconds."""
BLOCK: Final = "one block of 7B"
ROWS: Final = (1, 16, 64, 256, 1024, 4096)
MATRICES: Final = ((4096, 4096), (11008, 4096), (4096, 11008))
_REPETITIONS: Final = 20
JOB: Final = Job(REAL, "dsnot-paper", 16, 512, 4)


def check(device: str) -> None:
    """Exit with a sentence unless the device is a usable GPU."""
    if not device.startswith("cuda"):
        raise SystemExit(f"--device is {device}, but only a GPU is measured: name one, such as cuda:0.")
    found = find(device)
    if not found.gpus:
        raise SystemExit(f"--device is {device}, but {found.problem}.")


def run(device: str, out: Path, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Measure all parts within the budget, rewriting OUT.json and OUT.md after each."""
    facts, figures = about() | _about_device(device), list[Figure]()
    deadline = perf_counter() + BUDGET
    with TemporaryDirectory(prefix="dsnot-gpu-") as scratch:
        for part, most in PARTS.items():
            found = alone(part, device, scratch, min(most, deadline - perf_counter()))
            figures += with_predictions(found, predictions)
            for figure in figures[-len(found) :]:
                print(", ".join(f"{name} {value}" for name, value in figure.items()), flush=True)
            write(out, facts, figures, "Pruning on a GPU, measured", {"figures": figures})


def write(out: Path, facts: Mapping[str, Any], figures: Sequence[Figure], title: str, content: Mapping[str, Any]) -> None:
    """Write OUT.json with the facts and the content, and OUT.md with the figures."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"about": facts, **content}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(facts, figures, title))


def measure(part: str, device: str, scratch: Path) -> list[Figure]:
    """Return the figures of one part, measured in this process."""
    measures: dict[str, Callable[[], list[Figure]]] = {
        "tests": _tests,
        "kernels": partial(kernels, torch.device(device)),
        "job": partial(_job, device),
    }
    kind, _, preset = part.partition(" ")
    if kind == "block":
        return [block(SHAPES["7B"][0], preset, device, scratch, samples=SAMPLES, length=LENGTH)]
    return measures[kind]()


def block(shape: Shape, preset: str, device: str, scratch: Path, *, samples: int, length: int) -> Figure:
    """Measure one block of a model with random weights: seconds, and the peak of the device's allocated memory."""
    source = scratch / "source"
    if not source.exists():
        write_model(source, shape, blocks=2)
    tokens = torch.randint(shape.vocabulary, (samples, length), generator=torch.Generator().manual_seed(0))
    moments: list[float] = []

    def note() -> None:
        torch.cuda.synchronize(device)
        moments.append(perf_counter())

    prune_first_block(note, source, scratch / "target", Recipe.from_dict({"preset": preset}), tokens, device=device)
    start, end = moments
    peak = torch.cuda.max_memory_allocated(device)
    return {"measurement": BLOCK, "case": preset, "seconds": round(end - start, 3), "peak_GiB": round(peak / 2**30, 2)}


def kernels(device: torch.device) -> list[Figure]:
    """Return the times of products with dense and with 2:4 matrices, for several numbers of rows of inputs."""
    try:
        check_device(device)
        return [_product(device, shape, rows) for shape in MATRICES for rows in ROWS]
    except NoSparseKernels as reason:
        return [{"measurement": "2:4 kernels", "case": "none", "reason": str(reason)}]


def _product(device: torch.device, shape: tuple[int, int], rows: int) -> Figure:
    dense = nn.Linear(shape[1], shape[0], bias=False, device=device, dtype=torch.bfloat16).requires_grad_(False)
    dense.weight.view(shape[0], -1, 4)[:, :, 2:] = 0
    sparse = nn.Sequential(nn.Linear(shape[1], shape[0], bias=False, device=device, dtype=torch.bfloat16))
    sparse[0].weight = dense.weight
    sparse.dtype = torch.bfloat16  # type: ignore[assignment]
    with_sparse_kernels(sparse)
    x = torch.randn(rows, shape[1], device=device, dtype=torch.bfloat16)
    seconds = [_seconds(partial(layer, x), device) for layer in (dense, sparse)]
    return {
        "measurement": "2:4 kernels, bfloat16",
        "case": f"{shape[0]} x {shape[1]}, {rows} rows",
        "dense_µs": round(1e6 * seconds[0], 1),
        "sparse_µs": round(1e6 * seconds[1], 1),
        "times_as_fast": round(seconds[0] / seconds[1], 2),
    }


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Return the mean seconds of a call on the device, after one that is not measured."""
    call()
    torch.cuda.synchronize(device)
    started = perf_counter()
    for _ in range(_REPETITIONS):
        call()
    torch.cuda.synchronize(device)
    return (perf_counter() - started) / _REPETITIONS


def _tests() -> list[Figure]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/gpu"], capture_output=True, text=True, check=False
    )
    return [{"measurement": "tests/gpu", "case": "pytest", "result": done.stdout.strip().splitlines()[-1]}]


def _job(device: str) -> list[Figure]:
    (facts,) = run_cases([JOB], device)
    name, preset, samples, length, _ = astuple(JOB)
    return [
        {
            "measurement": "job through a worker",
            "case": f"{name} {preset}, {samples} x {length}",
            "seconds": round(facts["measured"], 1),
            "engine_seconds": {part: round(seconds, 1) for part, seconds in facts["engine_seconds"].items()},
            "peak_device_MiB": round((facts["peak"].get("device") or 0) / 2**20),
        }
    ]


def alone(part: str, device: str, scratch: str, seconds: float) -> list[Figure]:
    """Return the figures of a part measured in a process of its own, or one figure with the reason why there are none."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--device", device, "--scratch", scratch]
    failed = {"measurement": "not measured", "case": part}
    if seconds <= 0:
        return [failed | {"reason": f"the {BUDGET // 60} minutes were over"}]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return [failed | {"reason": f"not done after {seconds:.0f} s"}]
    if done.returncode:
        return [failed | {"reason": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}]
    found: list[Figure] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def with_predictions(found: Sequence[Figure], predictions: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the figures, those of blocks with what was predicted for them."""
    known = {tuple(case["case"]): case for case in predictions}
    figures = []
    for figure in found:
        case = known.get(("7B", figure["case"]))
        if figure["measurement"] != BLOCK or case is None:
            figures.append(figure)
            continue
        seconds = case["block"]["seconds"] + file_seconds(case["block"])
        more = {"predicted_seconds": round(seconds, 3), "planned_GiB": round(planned_bytes("7B", figure["case"]) / 2**30, 2)}
        figures.append(figure | more | {"measured_by_predicted": round(figure["seconds"] / seconds, 2)})
    return figures


def _about_device(device: str) -> dict[str, str]:
    (gpu,) = find(device, 1).gpus
    return {"device": gpu.description, **gpu.versions, "compute capability": gpu.compute_capability or "unknown"}
