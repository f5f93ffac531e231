import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import _peers, speed
from benchmarks._alone import ChildFailed, last_line
from benchmarks._masks import agreement, zeros
from benchmarks._passes import line, markdown
from tests.support import checkpoints
from worker.engine import Recipe, sparsify
from worker.engine.model.structure import load_structure

FACTS = {
    "machine": "a processor, 2 cores",
    "versions": "torch 1",
    "date": "today",
    "model": "m",
    "dtype": "float32",
    "tokens": "2 x 8",
    "batch": 2,
    "threads": 2,
    "units": [9.0, 11.0],
    "no_peers": None,
}
PRESET = {
    "preset": "dsnot-paper",
    "unit": 10.0,
    "seconds": 21.0,
    "parts": {"forward": 18.0, "statistics": 1.0, "masks": 1.5, "updates": 0.0, "io": 0.5},
}
FOUND = {"seconds": 60.0, "forward": 30.0, "matrices": {"a": [6, 10], "b": [5, 10]}, "versions": "llmcompressor 1"}
PEER = {"algorithm": "wanda", "pipeline": "basic", "dtype": "float32", "unit": 10.0}


def masks(**bits: list[int]) -> dict[str, Any]:
    return {name: np.packbits(np.array(values, dtype=np.uint8)) for name, values in bits.items()}


def row(**more: Any) -> dict[str, Any]:
    ours = masks(a=[1, 1, 0, 0, 0, 0, 0, 0])
    theirs = masks(a=[1, 0, 1, 0, 0, 0, 0, 0])
    return {**PEER, **_peers.figures({**FOUND, **more}, {"a", "b"}, theirs, ours)}


def test_a_peer_with_the_same_work_has_its_figures() -> None:
    found = row()
    assert (found["sparsity"], found["matrices"]) == (11 / 20, 2)
    assert (found["left_out"], found["added"]) == ([], [])
    assert found["agreement"] == 6 / 8
    assert line(found).startswith("llmcompressor wanda, basic, float32: 6.00 forward passes of 10.0 s")


def test_a_peer_that_prunes_other_matrices_is_marked() -> None:
    found = row(matrices={"a": [6, 10], "head": [5, 10]})
    assert (found["left_out"], found["added"]) == (["b"], ["head"])
    assert "| 2, without b, and head |" in markdown(FACTS, [], [found])
    nothing = row(matrices={})
    assert (nothing["sparsity"], nothing["left_out"]) == (0.0, ["a", "b"])


def test_masks_of_different_matrices_have_no_agreement() -> None:
    assert agreement(masks(a=[1] * 8), masks(b=[1] * 8)) is None
    assert agreement(masks(a=[1] * 8), masks(a=[1] * 16)) is None
    assert agreement(masks(a=[1] * 8, c=[0] * 8), masks(a=[1] * 8, c=[1] * 8)) == 0.5


def test_all_figures_have_units() -> None:
    page = markdown(FACTS, [PRESET], [row()])
    assert "One pass through the dense blocks takes 10.0 s (9.0 to 11.0)." in page
    assert "| dsnot-paper | 2.10 | ≤ 2.3 | 1.80 | 0.10 | 0.15 | 0.00 | 0.05 |" in page
    assert "| llmcompressor wanda, basic, float32 | 6.00 | – |  |  |  |  |  |" in page
    assert "| llmcompressor wanda, basic, float32 | 3.00 | 2.00 | 55.00% | 2, the same | 75.00% |" in page
    assert "llmcompressor 1; the same tokens, up to 2 windows at a time, 2 threads" in page


def test_a_failed_peer_has_no_figures_and_hides_none() -> None:
    failed = {**PEER, "algorithm": "sparsegpt", "failed": "ValueError: no"}
    page = markdown(FACTS, [PRESET], [failed, row()])
    assert "* llmcompressor sparsegpt, basic, float32 failed: ValueError: no" in page
    assert "| llmcompressor wanda, basic, float32 | 6.00 |" in page
    assert line(failed) == "llmcompressor sparsegpt, basic, float32: failed, ValueError: no"


def test_a_failed_process_reports_the_cause() -> None:
    with pytest.raises(ChildFailed, match=r"case: (.|\n)*ZeroDivisionError"):
        last_line([sys.executable, "-c", "print('{}'); 1 / 0"], about="case")
    assert last_line([sys.executable, "-c", "print(1); print(input())"], about="case", given='{"a": 2}') == {"a": 2}


def test_peers_need_a_complete_environment_and_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers, "ENVIRONMENT", tmp_path / "environment")
    assert "make peers" in str(_peers.unavailable_reason(torch.device("cpu")))
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    assert "make peers" in str(_peers.unavailable_reason(torch.device("cpu")))
    (tmp_path / "environment" / ".ready-0").touch()
    assert _peers.unavailable_reason(torch.device("cpu")) is None
    assert "CPU" in str(_peers.unavailable_reason(torch.device("cuda")))


def test_zeros_are_counted_from_the_file(model: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_dict({"refinement": {"method": "none"}, "pattern": {"type": "unstructured", "sparsity": 0.5}})
    report = sparsify(model, tmp_path / "out", recipe, torch.arange(40).view(2, 20))
    found = zeros(tmp_path / "out")
    assert set(found) == {matrix.full_name for block in load_structure(model).blocks for matrix in block.matrices}
    counted = {matrix.name: round(matrix.sparsity * matrix.shape[0] * matrix.shape[1]) for matrix in report.matrices}
    assert {name: int(np.unpackbits(bits).sum()) for name, bits in found.items()} == counted


def measure(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    text = out.with_suffix(".txt")
    text.write_text("A sentence of the calibration text. " * 20)
    words = ["speed", str(model), "--calibration", str(text), "--windows", "3", "--length", "32", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [*words, "--presets", "wanda", "sparsegpt", "--out", str(out)])
    speed.main()
    document: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return document


def test_without_the_peers_environment_only_presets_are_measured(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_peers, "ENVIRONMENT", tmp_path / "missing")
    document = measure(model, tmp_path / "speed", monkeypatch)
    assert [one["preset"] for one in document["presets"]] == ["wanda", "sparsegpt"]
    assert document["peers"] == []
    assert len(document["about"]["units"]) == 3
    assert "make peers" in capsys.readouterr().out.splitlines()[0]
    assert "make peers" in (tmp_path / "speed.md").read_text()


@pytest.mark.skipif(_peers.unavailable_reason(torch.device("cpu")) is not None, reason="needs `make peers`")
def test_peers_prune_the_same_matrices_on_the_same_tokens(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = {f"{one['algorithm']}-{one['pipeline']}": one for one in measure(model, tmp_path / "speed", monkeypatch)["peers"]}
    assert set(peers) == {"wanda-sequential", "wanda-basic", "sparsegpt-sequential", "sparsegpt-basic"}
    for one in peers.values():
        assert one["sparsity"] == pytest.approx(0.6, abs=0.03), one
        assert (one["matrices"], one["left_out"], one["added"]) == (14, [], [])
        assert one["seconds"] > 0
        assert one["forward"] > 0
    assert peers["wanda-sequential"]["agreement"] > 0.99
    assert peers["sparsegpt-basic"]["agreement"] is None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))
