import pytest

from service.contract.matrices import MatrixReport
from tests.support.matrix_reports import matrix_report
from worker.engine.warnings import collect_warnings, low_coverage, too_few_tokens


def matrix(name: str, tokens: int) -> MatrixReport:
    return matrix_report(name, (4, 100), tokens=tokens)


def test_the_warning_states_the_sufficient_number_of_samples() -> None:
    enough, short, worst = (matrix(name, tokens) for name, tokens in [("a", 100), ("b", 90), ("c", 40)])
    assert too_few_tokens([enough], 8) is None
    assert "2 of 3 matrices" in str(too_few_tokens([enough, short, worst], 8))
    assert "c, 40 tokens for 100 inputs" in str(too_few_tokens([enough, short, worst], 8))
    assert "20 calibration samples instead of 8" in str(too_few_tokens([enough, short, worst], 8))


@pytest.mark.parametrize(("coverage", "is_told"), [(0.949, True), (0.95, False), (1.0, False)])
def test_low_coverage_is_reported(coverage: float, is_told: bool) -> None:
    assert (low_coverage(coverage) is not None) == is_told


def test_tokens_do_not_matter_if_nothing_is_fitted_to_them() -> None:
    assert collect_warnings([matrix("a", 3)], coverage=1.0, samples=1, needs_gram=False) == []
    assert len(collect_warnings([matrix("a", 3)], coverage=0.5, samples=1, needs_gram=True)) == 2
