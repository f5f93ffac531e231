"""Perplexity of a checkpoint on a data set, in reported form."""

import math
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.failures import FailureCode
from service.contract.provenance import BosProtocol
from worker.engine import Perplexity
from worker.evaluation.intervals import Mean
from worker.evaluation.texts import EvaluationText
from worker.failures import JobFailure

Interval = tuple[float, float]


class Metric(BaseModel):
    """Base of reported metrics: immutable, with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LossDifference(Metric):
    """Difference of the losses on the same windows, pruned − dense, in nats per token."""

    mean: float
    standard_error: float | None
    ci95: Interval | None

    @classmethod
    def between(cls, dense: Sequence[float], pruned: Sequence[float]) -> Self:
        """Return the mean difference over windows."""
        found = Mean.of([after - before for before, after in zip(dense, pruned, strict=True)])
        return cls(mean=found.value, standard_error=found.standard_error, ci95=found.interval)


class PerplexityMetric(Metric):
    """Perplexity on one data set. `tokens` counts predicted tokens; `mean_nll` is their mean negative log likelihood in nats."""

    dataset: str
    sequence_length: int = Field(ge=1)
    windows: int = Field(ge=1)
    tokens: int = Field(ge=1)
    dropped_tokens: int = Field(0, ge=0)
    """Tokens at the end of the text that are in no window."""
    begins_with_bos: bool = False
    """Whether the tokenizer adds a beginning-of-sequence token at the very start of the text."""
    bos: BosProtocol = "stream"
    """`window`: one is at the head of every window; `stream`: no window has one of its own."""
    perplexity: float
    ci95: Interval | None = None
    """95 % interval of the perplexity, from the spread over windows; None with a single window."""
    mean_nll: float
    standard_error: float | None = None
    """Standard error of `mean_nll`."""
    loss_difference: LossDifference | None = None
    """Difference from the dense model, if that is measured; only for the pruned one."""
    cached: bool = False
    """Whether the losses, identical bit for bit, come from an earlier job on this host."""

    @classmethod
    def of(
        cls, text: EvaluationText, measured: Perplexity, *, dense: Sequence[float] | None = None, cached: bool = False
    ) -> Self:
        """Return the metric of a measured perplexity. `dense`: the dense model's losses on the same windows.

        Raises:
            JobFailure: `numerical-failure`: the perplexity overflows.
        """
        if math.isinf(measured.value):
            detail = f"The perplexity on {text.dataset} overflows: the model no longer predicts the text."
            raise JobFailure(FailureCode.NUMERICAL_FAILURE, detail)
        mean = Mean.of(measured.losses)
        return cls(
            dataset=text.dataset,
            sequence_length=text.length,
            windows=measured.windows,
            tokens=measured.tokens,
            dropped_tokens=text.dropped_tokens,
            begins_with_bos=text.begins_with_bos,
            bos=text.bos,
            perplexity=measured.value,
            ci95=_exponential(mean.interval),
            mean_nll=measured.mean_nll,
            standard_error=mean.standard_error,
            loss_difference=LossDifference.between(dense, measured.losses) if dense else None,
            cached=cached,
        )


def _exponential(interval: Interval | None) -> Interval | None:
    """Return an interval of losses as one of perplexities; None if its upper end overflows."""
    try:
        return interval and (math.exp(interval[0]), math.exp(interval[1]))
    except OverflowError:
        return None
