"""`dsnot sweeps …`: sweeps over axes, searches, and their points."""

from typing import Annotated, Any

import typer

from service.cli import sweep_body
from service.cli.identifiers import ID_OR_NAME, LAST, SWEEP, complete_id, sweep_references
from service.cli.job_options import SWEEP_EXAMPLES
from service.cli.output import AsJson, CommandFailed, note, print_json
from service.cli.shared_options import with_options_of
from service.cli.submitting import IdempotencyKey, submit
from service.cli.sweep_comparing import compare
from service.cli.sweep_errors import named_options

app = typer.Typer(
    help="Plan, create, list, show, compare, watch, pause, cancel and delete sweeps: grids of jobs, and searches.",
    no_args_is_help=True,
)

SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help=f"The sweep's {ID_OR_NAME}; {LAST}: the newest sweep.")]
Front = Annotated[
    list[str] | None,
    typer.Option(
        "--front",
        metavar="MEASURE",
        help="Measure of the Pareto front, such as seconds or perplexity:wiki-sample:test; two or three, "
        "by default sparsity and the first measure of quality.",
    ),
]
_Bound = float | None
_GRID = "Grid: every combination is a job"
_SEARCH = "Search: the sparsest model, or the most wanted preset, that meets a target"


def _sweep_options(
    name: Annotated[str | None, typer.Option(help="Display name.", rich_help_panel=_GRID)] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINTER=VALUE,…",
            help="A field of the job's body and its values: JSON or text; a range is 0..3 or 0.4..0.7:0.1. May be repeated.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    presets: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Presets; in a search candidates, most wanted first.", rich_help_panel=_GRID),
    ] = None,
    sparsities: Annotated[
        str | None, typer.Option(metavar="SHARE,…", help="Sparsities, such as 0.4,0.5 or 0.4..0.7:0.1.", rich_help_panel=_GRID)
    ] = None,
    patterns: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN,…", help="Sparsities and n:m, such as 0.5,2:4; in a search candidates.", rich_help_panel=_GRID
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="perplexity|kl_divergence|top1_agreement|task:NAME",
            help="Metric that is bounded; perplexity if only a bound is given.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    at_most: Annotated[_Bound, typer.Option(help="Upper bound of perplexity or KL divergence.", rich_help_panel=_SEARCH)] = None,
    at_most_increase: Annotated[
        _Bound, typer.Option(help="Upper bound of perplexity's increase; 0.05 is 5 % above dense.", rich_help_panel=_SEARCH)
    ] = None,
    at_least: Annotated[_Bound, typer.Option(help="Lower bound of agreement or a task.", rich_help_panel=_SEARCH)] = None,
    at_most_decrease: Annotated[
        _Bound, typer.Option(help="Upper bound of a task's decrease; 0.01 is one point below dense.", rich_help_panel=_SEARCH)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="Data set of the target, if several are evaluated.", rich_help_panel=_SEARCH),
    ] = None,
    from_: Annotated[_Bound, typer.Option("--from", help="Lowest candidate sparsity.", rich_help_panel=_SEARCH)] = None,
    to: Annotated[_Bound, typer.Option(help="Highest candidate sparsity.", rich_help_panel=_SEARCH)] = None,
    step: Annotated[
        _Bound, typer.Option(help="Distance between candidate sparsities; 0.01 by default.", rich_help_panel=_SEARCH)
    ] = None,
    max_points: Annotated[int | None, typer.Option(help="Maximum number of jobs; 8 by default.", rich_help_panel=_SEARCH)] = None,
    judge_by: Annotated[
        str | None,
        typer.Option(
            metavar="interval|mean", help="Whether the whole 95 % interval must meet the bound.", rich_help_panel=_SEARCH
        ),
    ] = None,
    try_first: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="Cheaper preset that narrows the range of sparsities.", rich_help_panel=_SEARCH),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="all|front|best", help="Artifacts that stay after the end.", rich_help_panel=_GRID),
    ] = None,
    spec: Annotated[
        str | None, typer.Option(metavar="FILE", help="Sweep body as JSON, - for stdin; options override it.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
    follow: Annotated[bool, typer.Option("--watch", help="Follow the sweep to its end, as `dsnot sweeps watch` does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Options of a sweep beyond those of its jobs."""


def create(**options: Any) -> None:
    """Create a sweep: a job for each combination of the axes, or a search. The other options are those of `dsnot jobs submit`.

    Exit status: 0 accepted (with --watch: as `dsnot sweeps watch`), 1 refused.
    """
    from service.cli.sweep_watching import watch_to_end
    from service.client import Client

    body = sweep_body.of_options(options)
    with Client(patience=2) as client:
        with named_options(options, body):
            sweep_references(client, body)
            sweep = client.sweeps.create(body, idempotency_key=options["idempotency_key"])
        if options["follow"]:
            note(f"sweep {sweep.id} is {sweep.state}")
            watch_to_end(client, sweep.id, as_json=options["as_json"])
        elif options["as_json"]:
            print_json(sweep.model_dump(mode="json", exclude_unset=True))
        else:
            typer.echo(sweep.id)
            jobs = "1 job" if sweep.point_count == 1 else f"{sweep.point_count} jobs"
            note(f"{jobs} queued; follow the sweep with `dsnot sweeps watch {sweep.id}`")


def plan(**options: Any) -> None:
    """Check and plan a sweep without creating it. Exit status: 0 it would be accepted, 1 refused."""
    from service.cli.sweep_views import print_plan
    from service.client import Client

    body = sweep_body.of_options(options)
    with Client(patience=2) as client, named_options(options, body):
        sweep_references(client, body)
        found = client.sweeps.plan(body)
    if options["as_json"]:
        print_json(found.model_dump(mode="json", exclude_unset=True))
    else:
        print_plan(found)


app.command("create", epilog=SWEEP_EXAMPLES)(with_options_of(create, _sweep_options, submit))
app.command("plan")(with_options_of(plan, _sweep_options, submit, without={"idempotency_key", "follow"}))
app.command("compare")(compare)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only sweeps in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List sweeps, newest first. With --json: one line for each."""
    from itertools import islice

    from service.cli.sweep_views import print_sweeps
    from service.client import Client

    with Client(patience=2) as client:
        found = list(islice(client.sweeps.list(state=state), limit))
    if as_json:
        for sweep in found:
            print_json(sweep.model_dump(mode="json", exclude_unset=True))
    else:
        print_sweeps(found)


@app.command()
def show(
    sweep_id: SweepId,
    front: Front = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table of points as CSV only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one sweep: settings, a search's answer, and the table of points; a * marks the Pareto front."""
    from service.cli.sweep_views import print_sweep
    from service.client import Client

    if as_csv and as_json:
        raise CommandFailed("--csv and --json exclude each other", 2)
    with Client(patience=2) as client, named_options({}, {}):
        sweep_id = complete_id(client, SWEEP, sweep_id)
        if as_csv:
            typer.echo(client.sweeps.csv(sweep_id, front=front or ()), nl=False)
            return
        sweep = client.sweeps.get(sweep_id, front=front or ())
    if as_json:
        print_json(sweep.model_dump(mode="json", exclude_unset=True))
    else:
        print_sweep(sweep)


@app.command()
def watch(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Follow a sweep to its end: its points, and the bracket of a search. Ctrl-C does not affect the sweep.

    With --json: a line for each event, the last one {"type": "end", "sweep": {…}}.

    Exit status: 0 the sweep finished; 1 it failed; 3 it was cancelled.
    """
    from service.cli.sweep_watching import watch_to_end
    from service.client import Client

    with Client(patience=2) as client:
        watch_to_end(client, complete_id(client, SWEEP, sweep_id), as_json=as_json)


@app.command()
def cancel(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Cancel the unfinished jobs of a sweep. Exit status: 0 requested, 1 not possible."""
    _change("cancel", sweep_id, as_json)


@app.command()
def pause(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Pause the unfinished jobs of a sweep; finished blocks are kept. Exit status: 0 requested, 1 not possible."""
    _change("pause", sweep_id, as_json)


@app.command()
def resume(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Queue the paused jobs of a sweep again. Exit status: 0 queued, 1 not possible."""
    _change("resume", sweep_id, as_json)


@app.command()
def retry(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Retry an ended sweep's points that did not succeed; a failed search continues. Exit status: 0 queued, 1 not possible."""
    _change("retry", sweep_id, as_json)


@app.command()
def delete(
    sweep_id: SweepId,
    keep_jobs: Annotated[bool, typer.Option("--keep-jobs", help="Keep the jobs and their artifacts.")] = False,
) -> None:
    """Delete a sweep that has ended, its jobs, and their artifacts. Exit status: 0 done, 1 not possible."""
    from service.client import Client

    with Client(patience=2) as client:
        sweep_id = complete_id(client, SWEEP, sweep_id)
        client.sweeps.delete(sweep_id, keep_jobs=keep_jobs)
    note(f"sweep {sweep_id} is deleted{'; its jobs stay' if keep_jobs else ', with its jobs'}")


def _change(change: str, sweep_id: str, as_json: bool) -> None:
    from service.client import Client

    with Client(patience=2) as client:
        sweep = getattr(client.sweeps, change)(complete_id(client, SWEEP, sweep_id))
    if as_json:
        print_json(sweep.model_dump(mode="json", exclude_unset=True))
    else:
        typer.echo(f"sweep {sweep.id} is {sweep.state}")
