"""Measurements of the dense and the pruned model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.evaluation.agreement import AgreementMetric
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.samples.metrics import Samples
from worker.evaluation.speed.stage import Speed
from worker.evaluation.task_results import TaskResult


@dataclass(frozen=True)
class Measured:
    """Measurements of one checkpoint."""

    perplexity: Sequence[PerplexityMetric] = ()
    """Perplexity on each data set, in the job's order."""
    tasks: Sequence[TaskResult] = ()
    """Result of each zero-shot task, in the job's order."""

    def to_metrics(self) -> dict[str, Any]:
        """Return the measurements JSON-ready."""
        return {
            "perplexity": [metric.model_dump(mode="json") for metric in self.perplexity],
            "tasks": [result.model_dump(mode="json") for result in self.tasks],
        }


@dataclass(frozen=True)
class Quality:
    """Measurements of both checkpoints; None: not measured."""

    dense: Measured | None = None
    pruned: Measured | None = None
    agreement: Sequence[AgreementMetric] = ()
    """Agreement of the two models on each data set; empty if the job does not request it."""
    speed: Speed | None = None
    samples: Samples | None = None

    def to_metrics(self) -> dict[str, Any]:
        """Return the measurements JSON-ready, as a part of the job's metrics."""
        return {
            "dense": self.dense and self.dense.to_metrics(),
            "pruned": self.pruned and self.pruned.to_metrics(),
            "agreement": [metric.model_dump(mode="json") for metric in self.agreement] or None,
            "speed": self.speed and self.speed.model_dump(mode="json"),
            "samples": self.samples and self.samples.model_dump(mode="json"),
        }
