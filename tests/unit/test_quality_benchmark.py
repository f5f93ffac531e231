import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import _cell, quality
from benchmarks._recipes import SETS, cells
from benchmarks._tables import markdown, table
from tests.support.engine import families
from worker.engine import Recipe


def cell(name: str, pattern: str, perplexity: float, error: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "pattern": pattern,
        "recipe": {"pattern": {}},
        "calibration": "valid",
        "windows": 16,
        "perplexity": {"test": perplexity},
        "error": error,
        "seconds": {"masks": 3.0, "updates": 1.0},
        "total": 30.0,
        "unit": 8.0,
        "peak_mib": 900.0,
        **more,
    }


@pytest.mark.parametrize("chosen", SETS)
def test_every_recipe_is_valid_in_the_engine(chosen: str) -> None:
    names = [(name, pattern) for name, pattern, _ in cells(chosen)]
    assert len(set(names)) == len(names)
    for _, _, recipe in cells(chosen):
        Recipe.from_dict(recipe)


def test_windows_match_the_published_protocol() -> None:
    ids = torch.arange(1000)
    random.seed(0)
    expected = [random.randint(0, 1000 - 10 - 1) for _ in range(4)]
    assert _cell.calibration_windows(ids, 4, 10).tolist() == [list(range(start, start + 10)) for start in expected]
    assert _cell.test_windows(ids, 2, 3).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_wikitext_rows_are_joined_by_two_newlines(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_text(" \n = Title = \n \n Text .\n")
    (tmp_path / "a.txt").write_text("as it\nis")
    assert _cell._content(tmp_path / "a.raw") == "\n\n = Title = \n\n\n\n\n Text .\n"
    assert _cell._content(tmp_path / "a.txt") == "as it\nis"


def test_figures_are_placed_by_recipe_and_pattern() -> None:
    found = table([cell("a", "2:4", 1.5, 1), cell("b", "50 %", 2.5, 1)], lambda one: str(one["perplexity"]["test"]))
    assert found.splitlines() == ["| | 50 % | 2:4 |", "|---|---|---|", "| a | – | 1.5 |", "| b | 2.5 | – |"]


def test_errors_are_relative_to_wanda_times_to_a_forward_pass() -> None:
    dense = {"recipe": None, "calibration": "valid", "windows": 16, "perplexity": {"test": 20.0}}
    page = markdown("t", {"date": "today"}, [dense, cell("wanda", "60 %", 100.0, 0.2), cell("best", "60 %", 50.0, 0.05)])
    assert "(dense 20.00)" in page
    assert "| best | 50 |" in page
    assert "| best | 0.25 |" in page
    assert "| best | 0.50 |" in page
    assert "| best | 3.8 |" in page


def test_a_cell_runs_once(checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(wanted: dict[str, Any], _jobs: int) -> dict[str, Any]:
        ran.append(wanted["name"])
        return {**cell(wanted["name"], wanted["pattern"], 9.0, 0.1), "recipe": wanted["recipe"]}

    monkeypatch.setattr(quality, "run", run)
    words = ["quality", str(checkpoint_folder), "--calibration", "x/valid", "--test", "x/test", "--set", "few"]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "out" / "few")])
        quality.main()
    assert ran == ["dense", *SETS["few"][0]]
    assert "x/" not in (tmp_path / "out" / "few.json").read_text()
    assert "| best | 9 |" in (tmp_path / "out" / "few.md").read_text()


def test_a_cell_has_all_figures(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cell, "token_ids", lambda _model, _text: torch.arange(400) % 90 + 3)
    base = {"model": str(checkpoint_folder), "device": "cpu", "calibration": "c", "windows": 3, "length": 24, "tests": 2}
    dense = _cell.measure({**base, "test": ["a"], "recipe": None})
    found = _cell.measure({**base, "test": ["a", "b"], "recipe": {"preset": "fast"}})
    assert dense["unit"] > 0
    assert set(found["perplexity"]) == {"a", "b"}
    assert found["perplexity"]["a"] != dense["perplexity"]["a"]
    assert found["unit"] > 0
    assert found["sparsity"] == pytest.approx(0.5)
    assert found["peak_mib"] > 100


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.save("llama", tmp_path_factory.mktemp("llama"))
