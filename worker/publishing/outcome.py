"""A job at its end, before anything is published: all that its card and its page tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.contract import JobSpec, Provenance, WeightSizes
from worker.engine.report import SparsityReport
from worker.evaluation.quality import Quality
from worker.inputs.models import Model


@dataclass(frozen=True)
class Costs:
    """What the job has taken so far: seconds of each stage and of each part of the engine's work, peaks of memory in bytes."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    engine_seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What was asked for, and what became of it."""

    spec: JobSpec
    model: Model
    report: SparsityReport
    quality: Quality
    sizes: WeightSizes
    provenance: Provenance
    warnings: Sequence[str] = ()
    costs: Costs = Costs()
