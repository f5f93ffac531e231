"""The GPU benchmark: its walk of one block extrapolates exactly, and a machine without a GPU is refused in a sentence."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import _gpu_device, _gpu_page, _gpu_swaps
from benchmarks import _gpu_walk as walks
from benchmarks._figures import markdown
from benchmarks._synthetic import Shape
from tests.support.strict_device import strict_cuda
from worker.engine import Recipe
from worker.engine.checkpoint.reader import Checkpoint

SHAPE = Shape(64, 128, 4, 2, 256)
WALKED = {"cost": {"launches": 10.0, "waits": 2.0, "host_bytes": 1e9, "device_seconds": 3.0, "bus_seconds": 0.5}, "seconds": 4.0}
WALKED["cost"] |= {"memory_bytes": 1e12, "flop": 1e12, "bus_bytes": 1e9}  # type: ignore[operator]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_refused_in_a_sentence() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cuda:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sentence = "--device is cuda:0, but this build of torch is for CPUs only; install one for CUDA or ROCm.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)


def test_a_device_that_is_no_gpu_is_refused_in_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"--device is cpu, but only a GPU is measured: name one, such as cuda:0\."):
        _gpu_device.check("cpu")


def test_the_sparse_checkpoint_takes_no_space(tmp_path: Path) -> None:
    shape, _ = walks.SHAPES["7B"]
    checkpoint = Checkpoint(walks.write_sparse(tmp_path / "model", shape, blocks=2))
    file = tmp_path / "model" / "model.safetensors"
    assert checkpoint.tensors["model.layers.1.mlp.down_proj.weight"].shape == (4096, 11008)
    assert file.stat().st_size > 10**9
    assert file.stat().st_blocks * 512 < 10**6


@pytest.mark.parametrize("preset", ["dsnot-paper", "best"])
def test_two_walks_give_the_work_at_any_number_of_samples(tmp_path: Path, preset: str) -> None:
    recipe = Recipe.from_dict({"preset": preset})
    found = {n: walks.walk(SHAPE, recipe, n, tmp_path / str(n), length=16).block for n in (*walks.WALKED, 7)}
    few, many = (found[n] for n in walks.WALKED)
    expected, guess = found[7], walks.at_samples(few, many, 7)
    assert asdict(guess.cost) == pytest.approx(asdict(expected.cost), rel=1e-6)
    assert guess.seconds == pytest.approx(expected.seconds, rel=0.01)
    assert guess.written == pytest.approx(expected.written, rel=0.01)


def test_loops_of_swaps_cost_more_the_more_swaps_are_allowed() -> None:
    few, many = (_gpu_swaps.loops_of_chunk(4096, swaps, is_propagated=False, scale=128) for swaps in (1, 8))
    assert few.cost.launches < many.cost.launches
    assert few.seconds < many.seconds
    assert not _gpu_swaps.loops_of_block(SHAPE, Recipe.from_dict({"preset": "best"})).cost.launches


def case(name: str, preset: str, seconds: float = 4.0) -> dict[str, Any]:
    work = {**WALKED, "seconds": seconds, "read": 2e9, "written": 1e9}
    return {"case": [name, preset], "before": work, "block": work, "per_sample": 1.5, "peak": 2 << 30, "lines": {}}


def test_a_run_is_its_blocks_and_its_files() -> None:
    run = _gpu_page.run_seconds(case("7B", "dsnot-paper"))
    weights = walks.outlined("7B").weight_bytes
    assert run["device"] == 33 * 3.0
    assert run["host"] == pytest.approx(33 * (10 * 5e-6 + 2 * 10e-6 + 0.1))
    assert run["files"] == pytest.approx(32 * 1 + 2 * weights / 3e9 + weights / 2e9)
    assert run["run"] == pytest.approx(33 * 4.0 + run["files"])


def test_the_page_says_what_misses_its_aim() -> None:
    bare = {"case": ["7B", "bare pass"], "block": {"seconds": 1.0}}
    cases = [bare, case("7B", "dsnot-paper"), case("7B", "balanced", 0.1), case("70B", "best")]
    page = markdown(_gpu_page.setting(), _gpu_page.figures(cases), "GPU")
    assert "times bare pass ≤ 2.1: **missed**" in page
    assert "times bare pass ≤ 4: met" in page
    assert "nothing measured on a GPU" in page


def test_a_block_is_timed_and_its_peak_read_on_a_device(tmp_path: Path) -> None:
    with strict_cuda() as cuda:
        figure = _gpu_device.block(SHAPE, "dsnot-paper", "cuda:0", tmp_path, samples=2, length=16)
    assert figure["seconds"] > 0
    assert figure["peak_GiB"] == round(cuda.memory.peak[0] / 2**30, 2)


def test_measured_blocks_stand_next_to_their_predictions() -> None:
    measured = {"measurement": _gpu_device.BLOCK, "case": "dsnot-paper", "seconds": 10.0, "peak_GiB": 2.0}
    other = {"measurement": "tests/gpu", "case": "pytest"}
    found = _gpu_device.with_predictions([measured, other], [case("7B", "dsnot-paper")])
    assert (found[0]["predicted_seconds"], found[0]["measured_by_predicted"]) == (5.0, 2.0)
    assert found[1] == other


def test_a_device_without_2_4_kernels_is_said() -> None:
    (figure,) = _gpu_device.kernels(torch.device("cpu"))
    assert "NVIDIA GPUs only" in figure["reason"]


@pytest.mark.parametrize(("seconds", "reason"), [(0, "the 15 minutes were over"), (0.01, "not done after 0 s"), (90, "KeyError")])
def test_a_part_that_gives_no_figures_has_its_reason(tmp_path: Path, seconds: float, reason: str) -> None:
    (figure,) = _gpu_device.alone("no such part", "cuda:0", str(tmp_path), seconds)
    assert (figure["measurement"], figure["case"]) == ("not measured", "no such part")
    assert reason in figure["reason"]


def test_the_parts_fit_into_the_budget() -> None:
    assert sum(_gpu_device.PARTS.values()) <= _gpu_device.BUDGET


def test_results_are_json_and_a_page(tmp_path: Path) -> None:
    figures = [{"measurement": "m", "case": "c", "seconds": 1.5}]
    _gpu_device.write(tmp_path / "gpu", {"date": "today"}, figures, "Title", {"figures": figures})
    assert json.loads((tmp_path / "gpu.json").read_text())["figures"] == figures
    assert "| c | 1.5 |" in (tmp_path / "gpu.md").read_text()
