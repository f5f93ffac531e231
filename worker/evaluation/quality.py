"""What has been measured of the dense model and of the pruned one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.evaluation.agreement import AgreementMetric
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.speed.stage import Speed
from worker.evaluation.task_results import TaskResult


@dataclass(frozen=True)
class Measured:
    """What has been measured of one checkpoint."""

    perplexity: Sequence[PerplexityMetric] = ()
    """One for each data set, in the order in which the job names them."""
    tasks: Sequence[TaskResult] = ()
    """One for each zero-shot task, in the order in which the job names them."""

    def to_metrics(self) -> dict[str, Any]:
        return {
            "perplexity": [metric.model_dump(mode="json") for metric in self.perplexity],
            "tasks": [result.model_dump(mode="json") for result in self.tasks],
        }


@dataclass(frozen=True)
class Quality:
    """Both checkpoints beside each other; None is what was not measured."""

    dense: Measured | None = None
    pruned: Measured | None = None
    agreement: Sequence[AgreementMetric] = ()
    """Of the pruned model with the dense one, one for each data set; none where that was not asked for."""
    speed: Speed | None = None

    def to_metrics(self) -> dict[str, Any]:
        return {
            "dense": self.dense and self.dense.to_metrics(),
            "pruned": self.pruned and self.pruned.to_metrics(),
            "agreement": [metric.model_dump(mode="json") for metric in self.agreement] or None,
            "speed": self.speed and self.speed.model_dump(mode="json"),
        }
