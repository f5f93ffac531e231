"""`dsnot jobs logs`: the log of a job, and the last lines of a failed job."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli.identifiers import JOB, JobId, complete_id
from service.cli.output import AsJson, local_time, note, print_json, printable
from service.contract.logs import LogLevel
from service.contract.states import JobState

if TYPE_CHECKING:
    from service.client import Client, Job, LogLine

_LAST: Final = 10
"""Lines shown with a failure: the end of a traceback with the error and where it was raised."""


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the job has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only lines of this attempt.")] = None,
    level: Annotated[LogLevel | None, typer.Option(help="Minimum level.")] = None,
    tail: Annotated[int | None, typer.Option(min=1, max=1000, help="Number of last lines to begin with.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a job: what its workers and their libraries logged. With --json: one line for each.

    Exit status: 0, also for a failed job; 1 there is no such job.
    """
    from service.client import Client

    with Client(patience=2) as client:
        read = client.jobs.logs if follow else client.jobs.list_logs
        _print(read(complete_id(client, JOB, job_id), attempt=attempt, level=level, tail=tail), as_json=as_json)


def _print(lines: Iterable["LogLine"], *, as_json: bool) -> None:
    is_empty = True
    for line in lines:
        is_empty = False
        if as_json:
            print_json(line.model_dump(mode="json"))
        else:
            typer.echo(printable(text_of(line)))
    if is_empty and not as_json:
        note("no lines")


def text_of(line: "LogLine") -> str:
    """Return `2026-01-31 12:00:00  1  warning  pruning     text`: time, attempt, level, stage and text."""
    return f"{local_time(line.created_at)}  {line.attempt}  {line.level:<8} {line.stage or '':<10}  {line.text}".rstrip()


def last_lines(client: "Client", job: "Job") -> list[str]:
    """Return the last lines of a failed job's last attempt; none if there are none, or the service cannot be asked."""
    from service.client import ClientError

    if job.state != JobState.FAILED:
        return []
    try:
        found = list(client.jobs.list_logs(job.id, tail=_LAST))
    except ClientError:  # an older service, or the connection was lost after the job was read
        return []
    lines = [line.text for line in found if line.attempt == found[-1].attempt]
    return [f"last lines of attempt {found[-1].attempt}; all with `dsnot jobs logs {job.id}`:", *lines] if lines else []
