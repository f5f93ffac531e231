"""Reports of matrices that nobody pruned."""

from typing import Any

from service.contract.matrices import MatrixReport


def matrix_report(name: str, shape: tuple[int, int], **given: Any) -> MatrixReport:
    """A report with plausible figures where none are given."""
    figures = {"sparsity": 0.5, "error_start": 0.3, "error_mask": 0.25, "error": 0.2, "swaps": 1, "tokens": 1000, "seconds": 0.5}
    return MatrixReport.model_validate({"name": name, "shape": shape, "stops": {"max_swaps": 2}, **figures, **given})
