"""Runs that are interrupted and go on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.engine import families, tiny_decoders
from worker.engine import Journal, MatrixReport, Recipe, SparsityReport, sparsify
from worker.engine.report import NullObserver

BALANCED = {"preset": "balanced"}
RECIPES: dict[str, dict[str, Any]] = {
    "dsnot-paper": {"preset": "dsnot-paper"},
    "balanced": BALANCED,
    "best": {"preset": "best"},
    "sparsegpt": {"criterion": "obs", "refinement": {"method": "none"}, "update": {"method": "obs"}},
    "owl": {"allocation": "owl", "refinement": {"method": "none"}},
}


class Stopped(Exception):
    """What interrupts a run."""


class StopAt(NullObserver):
    """Stops a run where it takes up a block; notes which blocks were done, and which of them anew."""

    def __init__(self, block: int | None = None) -> None:
        self._block = block
        self.pruned: list[int] = []
        self.resumed: list[int] = []

    def block_started(self, index: int, total: int) -> None:
        assert index < total
        if index == self._block:
            raise Stopped

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        assert matrices
        assert index < total
        (self.resumed if resumed else self.pruned).append(index)


def run(source: Path, target: Path, journal: Path | None, observer: StopAt, recipe: dict[str, Any] = BALANCED) -> SparsityReport:
    opened = Journal(journal) if journal else None
    return sparsify(source, target, Recipe.from_dict(recipe), families.tokens(), device="cpu", observer=observer, journal=opened)


def interrupted(source: Path, folder: Path, at: int, recipe: dict[str, Any] = BALANCED) -> Path:
    """The journal of a run that was stopped where it took up a block."""
    with pytest.raises(Stopped):
        run(source, folder / f"stopped-{at}", folder / "journal", StopAt(at), recipe)
    return folder / "journal"


def without_seconds(report: SparsityReport) -> Any:
    return [matrix.model_dump(exclude={"seconds"}) for matrix in report.matrices], report.sparsity, report.warnings


def bits(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    source, recipe = families.save("llama", tmp_path / "source", dtype=dtype), RECIPES[name]
    whole = run(source, tmp_path / "whole", None, StopAt(), recipe)
    for at in (1, 2):
        journal = interrupted(source, tmp_path, at, recipe)
    last = StopAt()
    report = run(source, tmp_path / "target", journal, last, recipe)
    assert (last.resumed, last.pruned) == ([0, 1], [2])
    assert bits(tmp_path / "target") == bits(tmp_path / "whole")
    assert without_seconds(report) == without_seconds(whole)


@pytest.mark.parametrize("model_type", ["mixtral", "gpt_oss", "gpt2"])
def test_a_run_resumes_with_any_checkpoint_layout(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path / "source")
    whole, again = StopAt(), StopAt()
    recipe = {"preset": "best"}
    run(tmp_path / "source", tmp_path / "whole", tmp_path / "journal", whole, recipe)
    run(tmp_path / "source", tmp_path / "target", tmp_path / "journal", again, recipe)
    assert again.resumed == whole.pruned
    assert bits(tmp_path / "target") == bits(tmp_path / "whole")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["damaged", "lost"])
def test_only_an_unusable_block_is_pruned_again(
    checkpoint: Callable[[str], Path], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    source = checkpoint("llama")
    run(source, tmp_path / "whole", tmp_path / "journal", StopAt())
    (first,) = (tmp_path / "journal").glob("0001-*")
    damage(first)
    again = StopAt()
    run(source, tmp_path / "target", tmp_path / "journal", again)
    assert (again.resumed, again.pruned) == ([0, 2], [1])
    assert bits(tmp_path / "target") == bits(tmp_path / "whole")


@pytest.mark.parametrize(
    "other", [{"preset": "best"}, BALANCED | {"pattern": {"type": "n:m", "n": 2, "m": 4}}], ids=["preset", "pattern"]
)
def test_blocks_of_another_run_are_not_used(checkpoint: Callable[[str], Path], tmp_path: Path, other: dict[str, Any]) -> None:
    run(checkpoint("llama"), tmp_path / "other", tmp_path / "journal", StopAt(), other)
    observer = StopAt()
    run(checkpoint("llama"), tmp_path / "target", tmp_path / "journal", observer)
    assert (observer.resumed, observer.pruned) == ([], [0, 1, 2])


def test_blocks_of_another_checkpoint_are_not_used(tmp_path: Path) -> None:
    source = families.save("llama", tmp_path / "source")
    journal = interrupted(source, tmp_path, 2)
    weights = source / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    observer = StopAt()
    run(source, tmp_path / "target", journal, observer)
    assert observer.resumed == []
