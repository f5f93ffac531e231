"""`dsnot webhooks …`: webhooks for events of jobs, and their deliveries."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import SHORT_FORMS, WEBHOOK, complete_id, delivery_of
from service.cli.output import AsJson, local_time, note, print_records, print_secret

if TYPE_CHECKING:
    from service.client.webhooks import Delivery

app = typer.Typer(help="Manage webhooks, which receive events.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help=f"The webhook's id, {SHORT_FORMS}.")]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help=f"The delivery's id, {SHORT_FORMS}.")]


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="https URL that answers 2xx.")],
    event: Annotated[
        list[str] | None, typer.Option(help="job.succeeded, sweep.finished, …; may be repeated. By default all ends of jobs.")
    ] = None,
    description: Annotated[str, typer.Option(help="Description for people.")] = "",
    message_format: Annotated[
        str | None,
        typer.Option("--format", help="slack: a text for Slack, Mattermost, Rocket.Chat or Discord; by default signed JSON."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook and show its signing secret, once."""
    from service.client import Client

    with Client() as client:
        made = client.webhooks.create(url, events=event or (), description=description, format=message_format)
        print_secret("webhook", made, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the webhooks. With --json: one line for each."""
    from service.client import Client

    with Client() as client:
        found = client.webhooks.list()
    print_records(
        found,
        ("id", "url", "format", "events", "state", "description"),
        lambda each: (each.id, each.url, each.format, " ".join(each.events), each.disabled_because or "on", each.description),
        as_json=as_json,
    )


@app.command()
def delete(webhook: Id) -> None:
    """Delete a webhook and its deliveries."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        client.webhooks.delete(webhook)
    note(f"webhook {webhook} is deleted")


@app.command()
def rotate(
    webhook: Id,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds the old secret stays valid.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Create a new secret and show it, once."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        print_secret("webhook", client.webhooks.rotate_secret(webhook, overlap_seconds=overlap), as_json=as_json)


@app.command("test")
def send_test(webhook: Id, as_json: AsJson = False) -> None:
    """Send a test message; `dsnot webhooks deliveries` shows the result."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        _show([client.webhooks.test(webhook)], as_json)


@app.command()
def deliveries(
    webhook: Id,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only messages of this type, such as job.failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List a webhook's deliveries, newest first. With --json: one line for each, with every attempt."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        _show(list(islice(client.webhooks.deliveries(webhook, state=state, type=kind), limit)), as_json)


@app.command()
def message(webhook: Id, delivery: DeliveryId) -> None:
    """Print a message as it is sent, byte for byte."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        found = client.webhooks.get_delivery(webhook, complete_id(client, delivery_of(webhook), delivery))
    if found.body is None:
        note("the message has not been sent yet; its body is written at the first attempt")
        raise typer.Exit(1)
    typer.echo(found.body)


@app.command()
def replay(webhook: Id, delivery: DeliveryId, as_json: AsJson = False) -> None:
    """Send a message again, under its original id."""
    from service.client import Client

    with Client() as client:
        webhook = complete_id(client, WEBHOOK, webhook)
        _show([client.webhooks.replay(webhook, complete_id(client, delivery_of(webhook), delivery))], as_json)


def _show(found: "list[Delivery]", as_json: bool) -> None:
    print_records(found, ("id", "type", "job or sweep", "state", "created", "attempts>", "last"), _row, as_json=as_json)


def _row(each: "Delivery") -> tuple[str, ...]:
    last = each.attempts[-1] if each.attempts else None
    said = "" if last is None else last.error or f"answered {last.status}"
    about = each.job_id or each.sweep_id or ""
    return (each.id, each.type, about, each.state, local_time(each.created_at), str(len(each.attempts)), said)
