"""`dsnot quotas …`: limits of single tenants. Uses the database directly, because it is for the operator."""

from typing import Annotated

import typer

from service.cli.databases import the_database
from service.cli.output import AsJson, CommandFailed, print_fields, print_json

app = typer.Typer(
    help="Show and set a tenant's limits, in the database of $DSNOT_DATABASE_URL or of this home's running stack.",
    no_args_is_help=True,
)

Tenant = Annotated[str, typer.Option(help="Tenant of the limits.")]
Limit = Annotated[int | None, typer.Option(min=0, max=2**31 - 1)]
Bytes = Annotated[int | None, typer.Option(min=0, max=2**63 - 1)]


@app.command()
def show(tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """Show the tenant's own limits. The service's settings apply to the rest; `GET /v1/quota` returns the effective limits."""
    from service.tenants.quotas import operations

    with the_database() as database:
        own = operations.own_limits(database, tenant)
    if as_json:
        print_json(own)
    elif own:
        print_fields([(name.replace("_", " "), str(value)) for name, value in own.items()])
    else:
        typer.echo(f"{tenant} has no limits of its own")


@app.command("set")
def set_(
    tenant: Tenant = "default",
    max_queued_jobs: Limit = None,
    max_datasets_bytes: Bytes = None,
    max_triggers: Limit = None,
    max_webhooks: Limit = None,
    reads_per_minute: Limit = None,
    writes_per_minute: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Set the tenant's own limits, from the next request on; others do not change. 0 per minute means no limit."""
    from service.tenants.audit.operations import note_command
    from service.tenants.quotas import operations

    given = {
        "max_queued_jobs": max_queued_jobs,
        "max_datasets_bytes": max_datasets_bytes,
        "max_triggers": max_triggers,
        "max_webhooks": max_webhooks,
        "reads_per_minute": reads_per_minute,
        "writes_per_minute": writes_per_minute,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        raise CommandFailed("name at least one limit, such as --max-queued-jobs 50", 2)
    with the_database() as database:
        operations.set_limits(database, tenant, wanted)
        note_command(database, tenant=tenant, action="set_quota", path="/v1/quota")
    show(tenant, as_json)


@app.command()
def reset(tenant: Tenant = "default") -> None:
    """Remove the tenant's own limits; the service's settings apply again."""
    from service.tenants.audit.operations import note_command
    from service.tenants.quotas import operations

    with the_database() as database:
        operations.set_limits(database, tenant, None)
        note_command(database, tenant=tenant, action="reset_quota", path="/v1/quota")
    typer.echo(f"{tenant} has no limits of its own any more")
