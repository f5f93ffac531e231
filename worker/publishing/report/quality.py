"""Measurements of the dense and the pruned model side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.contract.continuations import Pair, pair_of, summary
from service.contract.speed_ways import prefills, prompt_lengths, timed


@dataclass(frozen=True)
class PerplexityRow:
    """Perplexities on one data set."""

    pruned: Mapping[str, Any]
    dense: Mapping[str, Any] | None

    @property
    def ratio(self) -> float | None:
        """Pruned perplexity divided by the dense one; None without the dense one."""
        return self.pruned["perplexity"] / self.dense["perplexity"] if self.dense else None


@dataclass(frozen=True)
class TaskRow:
    """Results of one metric of one task."""

    task: Mapping[str, Any]
    metric: str
    pruned: Mapping[str, Any]
    dense: Mapping[str, Any] | None


@dataclass(frozen=True)
class QualityTables:
    """Tables of the report's sections on quality and speed."""

    perplexity: Sequence[PerplexityRow]
    tasks: Sequence[TaskRow]
    agreement: Sequence[Mapping[str, Any]]
    speed: Mapping[str, Any] | None = None
    samples: Mapping[str, Any] | None = None

    @property
    def continuations(self) -> Sequence[tuple[Mapping[str, Any], Pair]]:
        """Samples with their texts, cut at the first difference."""
        return [(sample, pair_of(sample)) for sample in (self.samples or {}).get("continuations") or ()]

    @property
    def samples_summary(self) -> str:
        """Figures of the samples in a sentence."""
        return summary(self.samples) if self.samples else ""

    @property
    def timed(self) -> Mapping[str, Any]:
        """Figures of each model whose speed was measured, by its name."""
        return timed(self.speed or {})

    @property
    def prompts(self) -> Sequence[int]:
        """Prompt lengths of the measured prefills."""
        return prompt_lengths(self.speed or {})

    def rates(self, found: Mapping[str, Any]) -> Sequence[Mapping[str, Any] | None]:
        """Throughput of decoding, and of each prefill."""
        return [found["decode"], *(prefills(self.speed or {}, found).get(length) for length in self.prompts)]

    @property
    def has_intervals(self) -> bool:
        """Whether confidence intervals were measured."""
        return any(row.pruned.get("ci95") for row in self.perplexity)

    @property
    def has_loss(self) -> bool:
        """Whether differences of losses were measured."""
        return any(row.pruned.get("loss_difference") for row in self.perplexity)


def quality_of(metrics: Mapping[str, Any]) -> QualityTables:
    """Return rows for all measurements of the pruned model, with the dense model's matched by data set or task."""
    pruned, dense = metrics.get("pruned") or {}, metrics.get("dense") or {}
    before = {each["dataset"]: each for each in dense.get("perplexity") or ()}
    return QualityTables(
        perplexity=[PerplexityRow(each, before.get(each["dataset"])) for each in pruned.get("perplexity") or ()],
        tasks=list(_tasks(pruned, dense)),
        agreement=metrics.get("agreement") or [],
        speed=metrics.get("speed"),
        samples=metrics.get("samples"),
    )


def _tasks(pruned: Mapping[str, Any], dense: Mapping[str, Any]) -> Iterator[TaskRow]:
    before = {each["task"]: each["metrics"] for each in dense.get("tasks") or ()}
    for each in pruned.get("tasks") or ():
        for metric, measured in each["metrics"].items():
            yield TaskRow(each, metric, measured, before.get(each["task"], {}).get(metric))
