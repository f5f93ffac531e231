"""Warnings about a result's reliability, one or two sentences each."""

from collections.abc import Sequence
from math import ceil

from service.contract.matrices import MatrixReport

FULL_COVERAGE = 0.95


def collect_warnings(matrices: Sequence[MatrixReport], *, coverage: float, samples: int, needs_gram: bool) -> list[str]:
    """Return the warnings of a run on `samples` calibration samples; `needs_gram`: Gram matrices were used."""
    found = [low_coverage(coverage), too_few_tokens(matrices, samples) if needs_gram else None]
    return [caution for caution in found if caution]


def low_coverage(coverage: float) -> str | None:
    """Return a warning if a considerable part of the blocks' parameters cannot be pruned."""
    if coverage >= FULL_COVERAGE:
        return None
    return (
        f"Only {coverage:.1%} of the parameters of the decoder blocks are in matrices that can be pruned, so the whole "
        "model is less sparse than requested."
    )


def too_few_tokens(matrices: Sequence[MatrixReport], samples: int) -> str | None:
    """Return a warning if a Gram matrix was summed over fewer tokens than inputs, with the number of samples needed."""
    short = [matrix for matrix in matrices if matrix.tokens < matrix.shape[1]]
    if not short:
        return None
    worst = max(short, key=lambda matrix: matrix.shape[1] / matrix.tokens)
    enough = ceil(samples * worst.shape[1] / worst.tokens)
    return (
        f"{len(short)} of {len(matrices)} matrices were measured on fewer tokens than they have inputs (worst: {worst.name}, "
        f"{worst.tokens} tokens for {worst.shape[1]} inputs), so the recipe overfits them to the calibration tokens. "
        f"Use {enough} calibration samples instead of {samples}."
    )
