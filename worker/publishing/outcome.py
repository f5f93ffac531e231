"""Outcome of a job before publishing: the input of model card and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.contract.formats import WeightSizes
from service.contract.provenance import Provenance
from service.contract.spec import JobSpec
from worker.engine.report import SparsityReport
from worker.evaluation.quality import Quality
from worker.inputs.models import Model


@dataclass(frozen=True)
class Costs:
    """Costs of the job so far: seconds per stage and per part of the engine's work, peak memory in bytes."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    engine_seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Specification of a job and its results."""

    spec: JobSpec
    model: Model
    report: SparsityReport
    quality: Quality
    sizes: WeightSizes
    provenance: Provenance
    warnings: Sequence[str] = ()
    costs: Costs = Costs()
