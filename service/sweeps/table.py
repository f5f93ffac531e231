"""Table of a sweep's points as CSV."""

import json
from typing import Any

from service.kit.csv_lines import csv_lines
from service.sweeps.schemas import PointView, SweepDetail


def csv_of(sweep: SweepDetail) -> str:
    """Return a line for each point: its job, a column for each value that points set, and one for each figure."""
    axes = list(dict.fromkeys(axis for point in sweep.table for axis in point.values))
    names = list(dict.fromkeys(name for point in sweep.table for name in point.figures))
    header = ["position", "job_id", "state", "pattern", "preset", *axes, *names, "on_front", "error"]
    return csv_lines([header, *(_row(point, axes, names) for point in sweep.table)])


def _row(point: PointView, axes: list[str], names: list[str]) -> list[Any]:
    figures = [point.figures[name].value if name in point.figures else "" for name in names]
    values = [_cell(point.values.get(axis, "")) for axis in axes]
    error = point.error.code if point.error else ""
    return [point.position, point.job_id, point.state, point.pattern, point.preset, *values, *figures, point.on_front, error]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
