import pytest
import torch

from service.contract.matrices import MatrixReport
from tests.support.matrix_reports import matrix_report
from tests.support.strict_device import Rates, strict_cuda
from worker.engine import report
from worker.engine.report import Part, SparsityReport, Stopwatch


def test_nested_parts_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(report, "perf_counter", lambda: now)
    watch = Stopwatch()
    with watch.time(Part.FORWARD):
        now += 2
        with watch.time(Part.STATISTICS):
            now += 5
        now += 3
    now += 7
    assert (watch.seconds[Part.FORWARD], watch.seconds[Part.STATISTICS], watch.seconds[Part.IO]) == (5, 5, 0)


def test_a_part_is_charged_for_the_kernels_that_it_launches_and_makes_nobody_wait() -> None:
    with strict_cuda(devices=2, rates=Rates(launch=0, kernel=1e-3)) as cuda:
        watch = Stopwatch(torch.device("cuda:1"))
        with watch.time(Part.IO):
            x = torch.ones(4, 4, device="cuda:1")
            with watch.time(Part.STATISTICS):
                for _ in range(5):
                    x = x @ x
            x = x + 1
        assert cuda.counts.waits.total() == 0
        assert watch.seconds == pytest.approx({"forward": 0, "statistics": 0.005, "masks": 0, "updates": 0, "io": 0.002})
        assert cuda.counts.waits.total() == 1


def matrix(name: str, shape: tuple[int, int], sparsity: float, *, error: float = 0.2, tokens: int = 1000) -> MatrixReport:
    return matrix_report(name, shape, sparsity=sparsity, error=error, tokens=tokens)


def test_the_total_is_weighted_by_matrix_size() -> None:
    small, large = matrix("a", (2, 5), 0.1), matrix("b", (3, 30), 0.6, error=0.1)
    found = SparsityReport.of([[small], [], [large]], block_parameters=125, seconds={"io": 1.0})
    assert found.sparsity == pytest.approx((1 + 54) / 100)
    assert found.coverage == 0.8
    assert found.to_dict()["matrices"][1]["shape"] == (3, 30)
    assert [(each["block"], each["kind"]) for each in found.to_dict()["matrices"]] == [(0, "a"), (2, "b")]
    assert [block["block"] for block in found.to_dict()["blocks"]] == [0, 2]
    assert [block.sparsity for block in found.blocks] == pytest.approx([0.1, 0.6])
    assert found.total.error == pytest.approx(0.15)
    assert (found.total.swaps, found.total.seconds) == (2, 1.0)
