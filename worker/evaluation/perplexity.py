"""Perplexity of a checkpoint on the data sets a job names."""

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from service.contract import FailureCode
from service.contract.spec import EvaluationSpec
from worker.engine import perplexity
from worker.engine.report import Observer
from worker.failures import JobFailure
from worker.texts import Texts
from worker.tokens import evaluation_windows, tokens_of


class PerplexityMetric(BaseModel):
    """One measurement. `tokens` counts those predicted; `mean_nll` is their mean negative log likelihood in nats."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dataset: str
    sequence_length: int = Field(ge=1)
    windows: int = Field(ge=1)
    tokens: int = Field(ge=1)
    perplexity: float
    mean_nll: float


def evaluate(
    model_path: Path,
    spec: EvaluationSpec,
    texts: Texts,
    *,
    device: str = "auto",
    observer: Observer | None = None,
) -> list[PerplexityMetric]:
    """Measure the checkpoint on every data set of `spec.perplexity`, in that order.

    Raises:
        JobFailure: a data set cannot be read or is shorter than one window, or the perplexity is not a number to report.
        worker.engine.errors.EngineError: the model cannot be run.
    """
    metrics = []
    for reference in spec.perplexity:
        stream = tokens_of(model_path, texts.read(reference))
        windows = evaluation_windows(stream, spec.sequence_length, spec.max_windows)
        result = perplexity(model_path, windows, device=device, observer=observer)
        if math.isinf(result.value):
            detail = f"The perplexity on {reference} is beyond all numbers: the model predicts nothing any more."
            raise JobFailure(FailureCode.NUMERICAL_FAILURE, detail)
        metrics.append(
            PerplexityMetric(
                dataset=reference,
                sequence_length=spec.sequence_length,
                windows=result.windows,
                tokens=result.tokens,
                perplexity=result.value,
                mean_nll=result.mean_nll,
            )
        )
    return metrics
