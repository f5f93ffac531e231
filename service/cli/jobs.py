"""`dsnot jobs …`: submit, inspect, follow and change jobs."""

from typing import Annotated, Final

import typer

from service.cli import job_body
from service.cli.comparing import compare
from service.cli.identifiers import ID_OR_NAME, JOB, LAST, JobId, complete_id
from service.cli.job_options import SUBMIT_EXAMPLES
from service.cli.logs import last_lines, logs
from service.cli.output import AsJson, CommandFailed, note, print_json, printable
from service.cli.planning import planning
from service.cli.reporting import report
from service.cli.submitting import Labels, submit
from service.contract.recipe.presets import PRESETS

app = typer.Typer(
    help="Plan, submit, list, show, compare, watch, pause, cancel and delete jobs; list their events.", no_args_is_help=True
)

_SORT_KEYS: Final = (
    "created_at", "finished_at", "name", "model", "state", "priority", "sparsity", "perplexity", "agreement", "size", "duration",
)  # fmt: skip

app.command(epilog=SUBMIT_EXAMPLES)(submit)
app.command("plan", epilog=SUBMIT_EXAMPLES.replace("jobs submit", "jobs plan").replace(" --watch", ""))(planning(submit))
app.command("compare")(compare)
app.command("report")(report)
app.command("logs")(logs)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    label: Labels = None,
    search: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Part of the job's name, the model's id or a label, or the start of an id."),
    ] = None,
    preset: Annotated[list[str] | None, typer.Option(metavar="|".join(PRESETS), help="May be repeated.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar=f"[-]{'|'.join(_SORT_KEYS)}", help="Sort key; prefix with - for descending."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    wide: Annotated[bool, typer.Option("--wide", help="Whole ids and names, and more columns.")] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first by default. With --json: one line for each."""
    from itertools import islice

    from service.cli.job_table import print_jobs
    from service.client import Client

    with Client(patience=2) as client:
        labels = job_body.labels(label or [])
        jobs = client.jobs.list(state=state, model=model, labels=labels, search=search, presets=preset, sort=sort)
        found = list(islice(jobs, limit))
    if as_json:
        for job in found:
            print_json(job.model_dump(mode="json"))
    else:
        print_jobs(found, is_wide=wide)


@app.command()
def show(
    job_id: JobId,
    samples: Annotated[bool, typer.Option("--samples", help="Show all continuations in full, not only the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one job: settings, progress, and results."""
    from service.cli.job_views import print_job
    from service.client import Client

    with Client(patience=2) as client:
        job = client.jobs.get(complete_id(client, JOB, job_id))
        last = [] if as_json else last_lines(client, job)
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        print_job(job, all_samples=samples)
        for line in last:
            typer.echo(printable(line))


@app.command()
def watch(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help=f"Each job's {ID_OR_NAME}; {LAST}: the newest job.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Watch all jobs that have not ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end: stage, blocks done, time left; several jobs in a table. Ctrl-C does not affect them.

    With --json: a line for each event, the last one {"type": "end", "job": {…}}; for several jobs a line for each change.

    Exit status: 0 all succeeded; 1 one failed or expired in the queue; 3 one was cancelled; 4 all succeeded, but one misses a
    gate (--require).
    """
    from service.cli import many_jobs
    from service.cli.watching import watch_to_end
    from service.client import Client

    if bool(job_ids) == everything:
        raise CommandFailed("name the jobs to watch, or give --all", 2)
    with Client(patience=2) as client:
        found = many_jobs.checked([complete_id(client, JOB, each) for each in job_ids or ()]) or many_jobs.unfinished(client)
        if len(found) == 1 and not everything:
            watch_to_end(client, found[0], as_json)
        many_jobs.watch_all(client, found, as_json=as_json)


@app.command()
def events(
    job_id: JobId,
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only events with a higher number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List what has happened to a job so far. With --json: one line for each event."""
    from service.cli.job_events import print_events
    from service.client import Client

    with Client(patience=2) as client:
        print_events(client.jobs.list_events(complete_id(client, JOB, job_id), after=after), as_json)


@app.command()
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Request cancellation; a running job stops within seconds. Exit status: 0 requested, 1 not possible."""
    _change("cancel", job_id, as_json)


@app.command()
def pause(job_id: JobId, as_json: AsJson = False) -> None:
    """Pause a job; a running one stops within seconds and keeps its finished blocks. Exit status: 0 requested, 1 not possible."""
    _change("pause", job_id, as_json)


@app.command()
def resume(job_id: JobId, as_json: AsJson = False) -> None:
    """Queue a paused job again. Exit status: 0 queued, 1 not possible."""
    _change("resume", job_id, as_json)


@app.command()
def retry(job_id: JobId, as_json: AsJson = False) -> None:
    """Retry a failed, expired or cancelled job, as a new job. Exit status: 0 queued, 1 not possible."""
    _change("retry", job_id, as_json)


@app.command()
def mlflow(job_id: JobId, as_json: AsJson = False) -> None:
    """Log a succeeded job to MLflow again, such as after attempts were given up. Exit status: 0 requested, 1 not possible."""
    _change("log_to_mlflow", job_id, as_json)


@app.command()
def delete(job_id: JobId) -> None:
    """Delete a job that has ended, and its artifact. Exit status: 0 done, 1 not possible."""
    from service.client import Client

    with Client(patience=2) as client:
        job_id = complete_id(client, JOB, job_id)
        client.jobs.delete(job_id)
    note(f"job {job_id} is deleted")


def _change(change: str, job_id: str, as_json: bool) -> None:
    from service.client import Client

    with Client(patience=2) as client:
        job = getattr(client.jobs, change)(complete_id(client, JOB, job_id))
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        typer.echo(f"job {job.id} is {job.state}")
