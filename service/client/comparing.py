"""Response models of the comparison of jobs."""

from typing import Any

from pydantic import ConfigDict, Field

from service.client.answer import Answer
from service.client.measured import Metrics
from service.contract.formats import WeightSizes
from service.contract.matrices import BlockView
from service.contract.states import JobState


class Block(BlockView):
    """Pruning result of one block."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ComparedJob(Answer):
    """One of the compared jobs."""

    id: str
    state: JobState
    model: str
    revision: str | None = None
    labels: dict[str, str] = Field(default={})
    recipe: dict[str, Any]
    metrics: Metrics | None = None
    sparsity: float | None = None
    bytes: int | None = None
    weight_bytes: WeightSizes | None = None
    seconds: float | None = None
    blocks: list[Block] = Field(default=[])


class Difference(Answer):
    """JSON pointer at which the specs differ, and each job's value; None: absent, or null."""

    pointer: str
    values: list[Any]


class Measure(Answer):
    """One quantity, with its value for each job."""

    name: str
    model: str | None = None
    """`dense` or `pruned`; None: the job as a whole."""
    on: str | None = None
    """The data set or the task."""
    conditions: dict[str, float] = Field(default={})
    """Measurement conditions; values under other conditions are another quantity."""
    better: str | None = None
    """`lower`, `higher`, or None if no value is better than another."""
    values: list[float | int | None]
    intervals: list[tuple[float, float] | None] = Field(default=[])
    """95 % intervals, of a throughput the lowest and the highest measurement; None without one."""
    best: list[str] = Field(default=[])
    """Id of the job that is better than every other beyond their uncertainty; empty without one."""
    tied: list[str] = Field(default=[])
    """Ids of the jobs of which one is the best, but the measurements do not say which."""


class Comparison(Answer):
    """Comparison of jobs. Lists with a value for each job are in the order of `jobs`."""

    jobs: list[ComparedJob]
    differences: list[Difference]
    measures: list[Measure]
    warnings: list[str] = Field(default=[])
