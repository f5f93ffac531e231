"""Perplexity of a checkpoint on a data set, as it is reported."""

import math
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract import FailureCode
from worker.engine import Perplexity
from worker.evaluation.intervals import Mean
from worker.evaluation.texts import EvaluationText
from worker.failures import JobFailure

Interval = tuple[float, float]


class Metric(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LossDifference(Metric):
    """What pruning adds to the loss, in nats per token, on the same windows: pruned − dense."""

    mean: float
    standard_error: float | None
    ci95: Interval | None

    @classmethod
    def between(cls, dense: Sequence[float], pruned: Sequence[float]) -> Self:
        found = Mean.of([after - before for before, after in zip(dense, pruned, strict=True)])
        return cls(mean=found.value, standard_error=found.standard_error, ci95=found.interval)


class PerplexityMetric(Metric):
    """One measurement. `tokens` counts those predicted; `mean_nll` is their mean negative log likelihood in nats."""

    dataset: str
    sequence_length: int = Field(ge=1)
    windows: int = Field(ge=1)
    tokens: int = Field(ge=1)
    dropped_tokens: int = Field(0, ge=0)
    """At the end of the text, that are in no window."""
    begins_with_bos: bool = False
    """Whether the tokenizer has put a beginning-of-sequence token at the very start; no window gets one of its own."""
    perplexity: float
    ci95: Interval | None = None
    """Of the perplexity, from the spread over windows; None with a single one."""
    mean_nll: float
    standard_error: float | None = None
    """Of `mean_nll`."""
    loss_difference: LossDifference | None = None
    """Of a pruned model, where the dense one is measured."""
    cached: bool = False
    """The losses were measured by an earlier job on this host, with the same bits."""

    @classmethod
    def of(
        cls, text: EvaluationText, measured: Perplexity, *, dense: Sequence[float] | None = None, cached: bool = False
    ) -> Self:
        """`dense` are the dense model's losses on the same windows.

        Raises:
            JobFailure: `numerical-failure`: the perplexity is not a number to report.
        """
        if math.isinf(measured.value):
            detail = f"The perplexity on {text.dataset} is beyond all numbers: the model predicts nothing any more."
            raise JobFailure(FailureCode.NUMERICAL_FAILURE, detail)
        mean = Mean.of(measured.losses)
        return cls(
            dataset=text.dataset,
            sequence_length=text.length,
            windows=measured.windows,
            tokens=measured.tokens,
            dropped_tokens=text.dropped_tokens,
            begins_with_bos=text.begins_with_bos,
            perplexity=measured.value,
            ci95=_exponential(mean.interval),
            mean_nll=measured.mean_nll,
            standard_error=mean.standard_error,
            loss_difference=LossDifference.between(dense, measured.losses) if dense else None,
            cached=cached,
        )


def _exponential(interval: Interval | None) -> Interval | None:
    """An interval of losses as one of perplexities; None if its upper end is beyond all numbers."""
    try:
        return interval and (math.exp(interval[0]), math.exp(interval[1]))
    except OverflowError:
        return None
