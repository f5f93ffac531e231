"""Live view of several jobs: a table on a terminal, otherwise a line for each change."""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from service.cli.comparing import short_names
from service.cli.job_views import how_far, perplexity
from service.cli.output import CommandFailed, note, print_json, table_of
from service.cli.watching import GATE_FAILED, exit_status, interruptible, left
from service.client import Client, Job, NotFound
from service.contract.recipe.names import pattern_name
from service.contract.states import TERMINAL_STATES, JobState

_POLL_SECONDS: Final = 2.0
_MOST: Final = 100
"""Maximum number of jobs of one view; each is read once per round until it has ended."""
_LINES_AROUND: Final = 5
"""Lines of the screen that the table's rows do not take."""
_COLUMNS: Final = ("job!", "model", "sparsity", "state", "left", "perplexity>")


def unfinished(client: Client) -> list[str]:
    """Return the ids of all jobs that have not ended, the oldest first.

    Raises:
        CommandFailed: there are none, or too many to watch.
    """
    states = [state for state in JobState if state not in TERMINAL_STATES]
    found = [job.id for job in islice(client.jobs.list(state=states, sort="created_at"), _MOST + 1)]
    if not found:
        raise CommandFailed("no job is queued, running or paused; `dsnot jobs list` lists those that have ended")
    return checked(found)


def checked(job_ids: Sequence[str]) -> list[str]:
    """Return the ids without repetitions. Raise CommandFailed if they are too many."""
    found = list(dict.fromkeys(job_ids))
    if len(found) > _MOST:
        raise CommandFailed(f"at most {_MOST} jobs are watched at once; name fewer", 2)
    return found


def watch_all(client: Client, job_ids: Sequence[str], *, as_json: bool) -> None:
    """Show jobs until all have ended; exit with the status of the worst outcome.

    With `as_json`: a line for each change of a job's state or stage, with the whole job.
    """
    console = Console(stderr=True)
    jobs: dict[str, Job] = {}
    names = dict(zip(job_ids, short_names(list(job_ids)), strict=True))
    with interruptible(f"dsnot jobs watch {' '.join(names.values())}"):
        if console.is_terminal and not as_json:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                for _ in _rounds(client, job_ids, jobs):
                    live.update(_table(list(jobs.values()), names, console.height - _LINES_AROUND), refresh=True)
        else:
            for changed in _rounds(client, job_ids, jobs):
                for job in changed:
                    print_json(job.model_dump(mode="json")) if as_json else note(f"{names[job.id]}  {how_far(job)}")
    if not as_json:
        Console().print(_table(list(jobs.values()), names, len(jobs)))
    raise typer.Exit(_exit_status(jobs.values()))


def _rounds(client: Client, job_ids: Sequence[str], jobs: dict[str, Job]) -> Iterable[list[Job]]:
    """Read the unfinished jobs again and again; yield those of each round whose state or stage has changed."""
    while True:
        changed = []
        for job_id in job_ids:
            before = jobs.get(job_id)
            if before is None or not before.has_ended:
                jobs[job_id] = job = _job(client, job_id, before)
                if before is None or (job.state, job.stage) != (before.state, before.stage):
                    changed.append(job)
        yield changed
        if all(job.has_ended for job in jobs.values()):
            return
        time.sleep(_POLL_SECONDS)


def _job(client: Client, job_id: str, before: Job | None) -> Job:
    """Return the job; one that was deleted while it was watched counts as cancelled."""
    try:
        return client.jobs.get(job_id)
    except NotFound:
        if before is None:
            raise
        return before.model_copy(update={"state": JobState.CANCELLED, "stage": None})


def _table(jobs: list[Job], names: dict[str, str], height: int) -> Table:
    """Return the table, of jobs that do not fit on the screen those that have not ended."""
    shown = jobs if len(jobs) <= height else sorted(jobs, key=lambda job: job.has_ended)[: max(height, 1)]
    rows = [
        (names[job.id], job.model, pattern_name(job.spec["recipe"]), how_far(job), _left(job), _quality(job)) for job in shown
    ]
    table = table_of(_COLUMNS, rows)
    ended = sum(job.has_ended for job in jobs)
    table.caption = f"{ended} of {len(jobs)} jobs have ended"
    return table


def _left(job: Job) -> str:
    return "" if job.has_ended else left(job).removeprefix("about ")


def _quality(job: Job) -> str:
    measured = ((job.metric_values or {}).get("pruned") or {}).get("perplexity") or []
    return perplexity(measured[0], with_interval=False) if measured else ""


def _exit_status(jobs: Iterable[Job]) -> int:
    """Return 1 if any job failed or expired, else 3 if any was cancelled, else 4 if any misses a gate, else 0."""
    found = {exit_status(job) for job in jobs}
    return next((status for status in (1, 3, GATE_FAILED) if status in found), 0)
