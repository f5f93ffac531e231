"""Plain choices of a recipe: the values of each, with a one-sentence summary that forms, help and documentation show."""

from enum import StrEnum
from typing import Self


class Choice(StrEnum):
    """A value with its summary, one sentence."""

    _value_: str
    summary: str

    def __new__(cls, value: str, summary: str) -> Self:
        """Return the member `value`."""
        member = str.__new__(cls, value)
        member._value_, member.summary = value, summary
        return member


class Criterion(Choice):
    """Saliency of a weight, which selects the first mask. The engine's function for it is in `methods/saliency.py`."""

    MAGNITUDE = "magnitude", "The weight's absolute value; inputs are ignored."
    WANDA = "wanda", "The weight's absolute value times the norm of its input."
    RIA = (
        "ria",
        "Relative importance: the weight's share of its row and of its column, times the square root of its input's norm.",
    )
    OBS = (
        "obs",
        (
            "Optimal Brain Surgeon: the error of pruning a weight after all others have compensated for it, from the inverse "
            "Gram matrix; with the update `obs` and no refinement this is SparseGPT."
        ),
    )


class Allocation(Choice):
    """Sparsity of each block."""

    UNIFORM = "uniform", "Every block has the same sparsity."
    OWL = "owl", "Blocks with more outliers among their saliencies are pruned less."
    ARITHMETIC = "arithmetic", "Deeper blocks are pruned more, in equal steps whose size is found by search."


class Objective(Choice):
    """Target outputs that the mask and the updated weights of every matrix approximate."""

    LAYERWISE = "layerwise", "Every matrix is fitted to its own dense output, on the inputs from the pruned blocks before it."
    PROPAGATED = (
        "propagated",
        (
            "Every matrix is fitted to the dense model's output at its position, residual stream included, so that later "
            "blocks compensate for the errors of earlier ones; about twice the forward passes."
        ),
    )
