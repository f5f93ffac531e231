"""`dsnot triggers …`: triggers, which start jobs or sweeps on events, and their firings."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import ID_OR_NAME, SHORT_FORMS, TRIGGER, complete_id, firing_of
from service.cli.job_body import read_spec
from service.cli.output import AsJson, local_time, note, print_json, print_records, print_secret

if TYPE_CHECKING:
    from service.client.triggers import Firing

app = typer.Typer(help="Manage triggers, which start jobs or sweeps.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="TRIGGER", help=f"The trigger's {ID_OR_NAME}.")]
FiringId = Annotated[str, typer.Argument(metavar="FIRING", help=f"The firing's id, {SHORT_FORMS}.")]
Event = Annotated[str, typer.Argument(metavar="FILE", help="The event as JSON, - for stdin.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Display name.")],
    template: Annotated[str, typer.Option(metavar="FILE", help="Body as JSON with placeholders ${{ … }}, - for stdin.")],
    starts: Annotated[str | None, typer.Option(metavar="job|sweep", help="The template's kind, by default job.")] = None,
    event_filter: Annotated[str | None, typer.Option("--filter", help="JMESPath over `event` and `data`.")] = None,
    source: Annotated[str | None, typer.Option(metavar="any|cloudevents|huggingface|mlflow|json")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a trigger and show its secret, once; senders without an API key use it to fire the trigger."""
    from service.client import Client

    with Client() as client:
        made = client.triggers.create(name, read_spec(template), starts=starts, filter=event_filter, source=source)
    print_secret("trigger", made, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the triggers, newest first. With --json: one line for each."""
    from service.client import Client

    with Client() as client:
        found = list(client.triggers.list())
    print_records(
        found,
        ("id", "name", "starts", "source", "state", "filter"),
        lambda each: (each.id, each.name, each.starts, each.source, "on" if each.enabled else "off", each.filter or ""),
        as_json=as_json,
    )


@app.command()
def delete(trigger: Id) -> None:
    """Delete a trigger and its log of events. Its jobs stay."""
    from service.client import Client

    with Client() as client:
        trigger = complete_id(client, TRIGGER, trigger)
        client.triggers.delete(trigger)
    note(f"trigger {trigger} is deleted")


@app.command()
def rotate(
    trigger: Id,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds the old secret stays valid.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Create a new secret and show it, once."""
    from service.client import Client

    with Client() as client:
        trigger = complete_id(client, TRIGGER, trigger)
        print_secret("trigger", client.triggers.rotate_secret(trigger, overlap_seconds=overlap), as_json=as_json)


@app.command()
def fire(
    trigger: Id,
    event: Event,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print, as JSON, what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fire a trigger with an event; the same event again starts nothing."""
    from service.client import Client

    with Client() as client:
        trigger = complete_id(client, TRIGGER, trigger)
        if dry_run:
            print_json(client.triggers.plan(trigger, read_spec(event)))
        else:
            _show([client.triggers.fire(trigger, read_spec(event))], as_json)


@app.command()
def firings(
    trigger: Id,
    outcome: Annotated[str | None, typer.Option(help="fired, duplicate, filtered, refused or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List a trigger's events, newest first, and their outcomes. With --json: one line for each."""
    from service.client import Client

    with Client() as client:
        trigger = complete_id(client, TRIGGER, trigger)
        _show(list(islice(client.triggers.firings(trigger, outcome=outcome), limit)), as_json)


@app.command()
def replay(trigger: Id, firing: FiringId, as_json: AsJson = False) -> None:
    """Start another job or sweep from a logged event."""
    from service.client import Client

    with Client() as client:
        trigger = complete_id(client, TRIGGER, trigger)
        _show([client.triggers.replay(trigger, complete_id(client, firing_of(trigger), firing))], as_json)


def _show(found: "list[Firing]", as_json: bool) -> None:
    print_records(found, ("id", "outcome", "kind", "event", "job or sweep", "came", "problem"), _row, as_json=as_json)


def _row(each: "Firing") -> tuple[str, ...]:
    why = str(each.problem.get("detail", "")) if each.problem else ""
    started = each.job_id or each.sweep_id or ""
    return (each.id, each.outcome, each.kind, each.event_id, started, local_time(each.created_at), why)
