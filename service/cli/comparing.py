"""`dsnot jobs compare`: jobs side by side, one column each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.identifiers import ID_OR_NAME, JOB, LAST, complete_id
from service.cli.output import AsJson, duration, note, print_fields, print_json, print_table
from service.contract.gates import requirement_text
from service.contract.parts import dotted
from service.kit.quantities import figure, size

if TYPE_CHECKING:
    from service.client.comparing import ComparedJob, Comparison, Measure

SHORT = 8
"""Length of abbreviated ids, unless two begin alike."""


def compare(
    job_ids: Annotated[
        list[str], typer.Argument(metavar="JOB...", help=f"2 to 50 jobs, each by its {ID_OR_NAME}; {LAST}: the newest job.")
    ],
    as_json: AsJson = False,
) -> None:
    """Compare jobs: settings that differ, and measurements with half of their 95 % intervals.

    A * marks the job that is better than every other of its row beyond the intervals, = jobs that tie.
    """
    from service.client import Client

    with Client(patience=2) as client:
        found = client.jobs.compare([complete_id(client, JOB, each) for each in job_ids])
    if as_json:
        print_json(found.model_dump(mode="json", exclude_unset=True))
        return
    names = short_names([job.id for job in found.jobs])
    print_fields(zip(names, (f"{job.id}  {job.model}" for job in found.jobs), strict=True))
    print_table(("", *(f"{name}>" for name in names)), _rows(found))
    for warning in found.warnings:
        note(warning)


def short_names(ids: list[str]) -> list[str]:
    """Return the beginnings of ids, long enough to be different."""
    length = next(length for length in range(SHORT, 37) if len({each[:length] for each in ids}) == len(ids))
    return [each[:length] for each in ids]


def _rows(found: "Comparison") -> Iterator[list[str]]:
    yield ["state", *(job.state for job in found.jobs)]
    for difference in found.differences:
        yield [dotted(difference.pointer), *map(_plain, difference.values)]
    for measure in found.measures:
        yield [_title(measure), *(_figure(measure, job, place) for place, job in enumerate(found.jobs))]


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(requirement_text(each) if isinstance(each, dict) else str(each) for each in value)
    return "" if value is None else str(value)


def _title(measure: "Measure") -> str:
    """Return `pruned perplexity on wiki-sample:test (512 sequence_length, 20 windows)`."""
    how = ", ".join(f"{value:g} {name}" for name, value in measure.conditions.items())
    parts = (measure.model, measure.name, f"on {measure.on}" if measure.on else None, f"({how})" if how else None)
    return " ".join(part for part in parts if part)


def _figure(measure: "Measure", job: "ComparedJob", place: int) -> str:
    value, interval = measure.values[place], measure.intervals[place] if measure.intervals else None
    if value is None:
        return ""
    shown = quantity_text(measure.name, value)
    if interval:
        shown += f" ± {quantity_text(measure.name, (interval[1] - interval[0]) / 2)}"
    return f"{shown} *" if job.id in measure.best else f"{shown} =" if job.id in measure.tied else shown


def quantity_text(name: str, value: float) -> str:
    """Return a measured value in the unit of its quantity."""
    if name.endswith("_bytes"):
        return size(value)
    if name == "seconds":
        return duration(value)
    return figure(value)
