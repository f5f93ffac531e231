"""A plan's memory of a GPU, held against the tensors that the engine allocates on a simulated one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks._synthetic import Shape, headers, write
from service.contract.devices import DeviceClass
from service.contract.engine_sizes import SWAPPED_WEIGHTS, SYSTEMS_BYTES
from service.contract.spec import JobSpec
from service.models.outline import MatrixOutline, outline
from service.planning import holdings, memory
from service.planning.holdings import Holdings
from service.planning.memory import TextTokens, peak
from tests.support.strict_device import strict_cuda
from worker.engine import Recipe, evaluate, sparsify
from worker.engine.activations.statistics import InputStatistics
from worker.engine.methods import swap_gains, swaps
from worker.engine.pruning.matrix import prune
from worker.engine.pruning.task import PruningTask
from worker.engine.report import Stopwatch

SHAPE, BLOCKS, SAMPLES, WINDOWS, LENGTH = Shape(256, 512, 4, 4, 1000), 2, 8, 8, 64
UNPLANNED = {"context", "fragmentation"}
NONE = {"method": "none"}
DSNOT = {"method": "dsnot", "accept": "always"}
BOTH_SIGNS = DSNOT | {"stop_on_sign_change": False}
GROUPS = {"pattern": {"type": "n:m", "n": 2, "m": 4}}


def planned(preset: str, **evaluation: Any) -> int:
    spec = JobSpec.model_validate(
        {
            "model": {"id": "m"},
            "recipe": {"preset": preset},
            "calibration": {"num_samples": SAMPLES, "sequence_length": LENGTH},
            "evaluation": {"samples": None, "sequence_length": LENGTH, "max_windows": WINDOWS} | evaluation,
        }
    )
    need = peak(outline(headers(SHAPE, BLOCKS)), spec, DeviceClass.GPU, TextTokens(0, WINDOWS * LENGTH)).device
    assert need is not None
    return sum(size for name, size in need.terms.items() if name not in UNPLANNED)


@pytest.mark.parametrize("preset", ["dsnot-paper", "dsnot-reference", "best"])
def test_the_plan_of_a_whole_job_matches_its_peak(tmp_path: Path, preset: str) -> None:
    """But for the swaps, whose pairs depend on the numbers: fewer of a real model than of a tiny one."""
    source, target = write(tmp_path / "source", SHAPE, BLOCKS), tmp_path / "target"
    tokens = torch.randint(SHAPE.vocabulary, (SAMPLES, LENGTH))
    with strict_cuda() as cuda:
        sparsify(source, target, Recipe.from_dict({"preset": preset}), tokens, device="cuda")
        pruning = cuda.memory.peak[0]
        dense = evaluate(source, tokens, device="cuda", keep=2).states
        evaluate(target, tokens, device="cuda", dense=dense)
    assert planned(preset, perplexity=[]) == pytest.approx(pruning, rel=0.15)
    assert planned(preset) == pytest.approx(cuda.memory.peak[0], rel=0.15)


def test_the_plan_of_an_evaluation_matches_its_peak(tmp_path: Path) -> None:
    source, tokens = write(tmp_path / "source", SHAPE, BLOCKS), torch.randint(SHAPE.vocabulary, (WINDOWS, LENGTH))
    with strict_cuda() as cuda:
        dense = evaluate(source, tokens, device="cuda", keep=2).states
        evaluate(source, tokens, device="cuda", dense=dense)
    found = Holdings(outline(headers(SHAPE, BLOCKS)), Recipe(), DeviceClass.GPU)
    assert found.block + found.of_batch(WINDOWS * LENGTH, 0) == pytest.approx(cuda.memory.peak[0], rel=0.15)


def test_a_batch_has_no_more_samples_than_there_are() -> None:
    assert memory._in_batch(64, 2048, 8) == 8 * 64
    assert memory._in_batch(64, 2048, 100) == memory._in_batch(64, 2048, 0) == 2048
    assert memory._in_batch(4096, 2048, 8) == 4096


def work_on_device(rows: int, columns: int, asked: Recipe, dtype: torch.dtype) -> int:
    """The bytes that pruning one matrix allocates in addition to the weight and the statistics."""
    with strict_cuda() as cuda:
        device = torch.device("cuda")
        examples = 0 if asked.needs_gram else 4
        inputs = InputStatistics(columns, device=device, with_gram=asked.needs_gram, examples_per_sample=examples)
        inputs.add(torch.randn(4, 64, columns).to(device))
        weight, _ = torch.randn(rows, columns).to(device, dtype), inputs.gram
        before = cuda.memory.allocated[0]
        prune(PruningTask("attn", weight.float(), inputs, asked, asked.pattern, 16, None), Stopwatch(device))
        return cuda.memory.peak[0] - before


def planned_work(rows: int, columns: int, asked: Recipe, dtype: torch.dtype) -> int:
    matrix = MatrixOutline("attn", rows, columns, copies=1, is_expert=False)
    model = replace(outline(headers(SHAPE, BLOCKS)), dtype=str(dtype).removeprefix("torch."), largest_matrices=(matrix,))
    return Holdings(replace(model, bytes_per_parameter=dtype.itemsize), asked, DeviceClass.GPU).work


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("cycles", [12, 64, 1000])
@pytest.mark.parametrize("recipe", [{"refinement": DSNOT}, {"refinement": BOTH_SIGNS}, {"refinement": DSNOT} | GROUPS])
def test_work_of_dsnot_matches_its_peak(recipe: dict[str, Any], cycles: int, dtype: torch.dtype) -> None:
    asked = Recipe.from_dict(recipe | {"refinement": recipe["refinement"] | {"max_cycles": cycles}})
    assert planned_work(512, 128, asked, dtype) == pytest.approx(work_on_device(512, 128, asked, dtype), rel=0.03)


@pytest.mark.parametrize("sparsity", [0.25, 0.5])
@pytest.mark.parametrize("most", [1 << 16, 1 << 21, 1 << 29])
def test_work_of_least_squares_matches_its_peak(monkeypatch: pytest.MonkeyPatch, sparsity: float, most: int) -> None:
    monkeypatch.setitem(SYSTEMS_BYTES, "gpu", most)
    pattern = {"type": "unstructured", "sparsity": sparsity}
    asked = Recipe.from_dict({"refinement": NONE, "update": {"method": "least_squares"}, "pattern": pattern})
    assert planned_work(512, 128, asked, torch.float32) == pytest.approx(work_on_device(512, 128, asked, torch.float32), rel=0.15)


@pytest.mark.parametrize(
    "recipe",
    [
        {"criterion": "wanda", "refinement": NONE},
        {"criterion": "magnitude", "refinement": NONE},
        {"criterion": "ria", "refinement": NONE},
        {"criterion": "wanda", "refinement": NONE} | GROUPS,
        {"preset": "best", "objective": "layerwise"},
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [256, 1024])
def test_work_of_other_recipes_matches_its_peak(recipe: dict[str, Any], columns: int) -> None:
    asked = Recipe.from_dict(recipe)
    assert planned_work(512, columns, asked, torch.bfloat16) == pytest.approx(
        work_on_device(512, columns, asked, torch.bfloat16), rel=0.15
    )


@pytest.mark.parametrize("pattern", [{}, GROUPS])
def test_work_of_swaps_is_enough_for_their_peak(monkeypatch: pytest.MonkeyPatch, pattern: dict[str, Any]) -> None:
    """A chunk of 2048 rows of 4096 columns, at a sixteenth of both; how many pairs are compared depends on the numbers."""
    size, rows, columns = 16**2, 128, 256
    for module in (swaps, holdings):
        monkeypatch.setattr(module, "SWAPPED_WEIGHTS", SWAPPED_WEIGHTS // size)
    monkeypatch.setattr(holdings, "GPU_CHUNK", holdings.GPU_CHUNK // size)
    monkeypatch.setitem(swap_gains.CHUNK, "cuda", swap_gains.CHUNK["cuda"] // size)
    asked = Recipe.from_dict({"refinement": {"method": "swaps", "max_swaps": 3}} | pattern)
    found = work_on_device(rows, columns, asked, torch.bfloat16)
    assert found <= planned_work(rows, columns, asked, torch.bfloat16) <= 2 * found


def test_the_chunk_of_the_plan_is_that_of_the_engine() -> None:
    assert swap_gains.CHUNK["cuda"] == holdings.GPU_CHUNK
