"""Results of the evaluation harness for a model on a task, in published form."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_PLAIN_FILTER: Final = "none"
"""Name of the default answer filter: the harness names a metric `acc,none`, that is metric and filter."""
_UNKNOWN: Final = {None, "N/A", "Yaml"}
"""Values that the harness has for a task without a version."""


class MetricValue(BaseModel):
    """Value of a metric, with its standard error if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    standard_error: float | None


class TaskResult(BaseModel):
    """Result of one task, or of one group of tasks together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    version: str | None
    samples: int = Field(ge=0)
    few_shot: int = Field(ge=0)
    """Number of examples shown before each question."""
    metrics: dict[str, MetricValue]
    harness: str
    """Version of the harness."""


def results_of(found: Mapping[str, Any], harness: str) -> list[TaskResult]:
    """Return the results of a harness run, in its order, without entries that have no figures, such as a group without a mean."""
    results = []
    for name, row in found["results"].items():
        if metrics := dict(_metrics(row)):
            version = found["versions"].get(name)
            results.append(
                TaskResult(
                    task=name,
                    version=None if version in _UNKNOWN else str(version),
                    samples=row.get("sample_len", 0),
                    few_shot=found["n-shot"].get(name) or 0,
                    metrics=metrics,
                    harness=harness,
                )
            )
    return results


def _metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, MetricValue]]:
    for key, value in row.items():
        metric, comma, filtered = key.partition(",")
        if comma and not metric.endswith("_stderr") and _is_figure(value):
            error = row.get(f"{metric}_stderr,{filtered}")
            known = MetricValue(value=value, standard_error=error if _is_figure(error) else None)
            yield (metric if filtered == _PLAIN_FILTER else key), known


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
