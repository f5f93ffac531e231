from time import sleep

import pytest

from worker.engine.report import MatrixReport, Part, SparsityReport, Stopwatch


def test_the_time_of_a_part_inside_another_counts_once() -> None:
    watch = Stopwatch()
    with watch.time(Part.FORWARD):
        sleep(0.02)
        with watch.time(Part.STATISTICS):
            sleep(0.05)
        sleep(0.02)
    sleep(0.05)
    assert 0.04 <= watch.seconds[Part.FORWARD] < 0.05 + 0.04
    assert 0.05 <= watch.seconds[Part.STATISTICS] < 0.09
    assert watch.seconds[Part.IO] == 0


def matrix(name: str, shape: tuple[int, int], sparsity: float, *, error: float = 0.2, tokens: int = 1000) -> MatrixReport:
    return MatrixReport(name, shape, sparsity, 0.3, 0.25, error, 1, {"max_swaps": 2}, tokens, 0.5)


def test_the_whole_is_weighed_by_the_size_of_its_matrices() -> None:
    small, large = matrix("a", (2, 5), 0.1), matrix("b", (3, 30), 0.6, error=0.1)
    report = SparsityReport.of([[small], [], [large]], block_parameters=125, seconds={"io": 1.0})
    assert report.sparsity == pytest.approx((1 + 54) / 100)
    assert report.coverage == 0.8
    assert report.to_dict()["matrices"][1]["shape"] == (3, 30)
    assert [block.sparsity for block in report.blocks] == pytest.approx([0.1, 0.6])
    assert report.total.error == pytest.approx(0.15)
    assert (report.total.swaps, report.total.seconds) == (2, 1.0)
