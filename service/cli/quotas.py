"""`dsnot quotas …`: limits of single tenants. The operator sets them in the database; the API shows those of the key's tenant."""

from typing import Annotated

import typer

from service.cli.databases import the_database
from service.cli.key_access import TO_DATABASE, api_is_named, refuse_tenant
from service.cli.output import AsJson, CommandFailed, print_fields, print_json, print_table

app = typer.Typer(
    help="Show and set a tenant's limits, in the database of $DSNOT_DATABASE_URL or of this home's running stack. "
    "Where DSNOT_URL or `dsnot login` names a service, `show` uses its API.",
    no_args_is_help=True,
)

Tenant = Annotated[str | None, typer.Option(help="Tenant of the limits, `default` by default; only in the database.")]
Limit = Annotated[int | None, typer.Option(min=0, max=2**31 - 1)]
Retention = Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="0: unlimited.")]
Bytes = Annotated[int | None, typer.Option(min=0, max=2**63 - 1)]


@app.command()
def show(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show the tenant's own limits; the service's settings apply to the rest. Through the API: effective limits and their use."""
    from service.tenants.quotas import operations

    if api_is_named():
        _show_effective(tenant, as_json)
        return
    tenant = tenant or "default"
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
    tenant: Tenant = None,
    max_queued_jobs: Limit = None,
    max_running_jobs: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Jobs that workers hold at once; 0 holds all back.")
    ] = None,
    share: Annotated[int | None, typer.Option(min=1, max=1000, help="Turns at the workers for one of share 1.")] = None,
    max_priority: Annotated[int | None, typer.Option(min=0, max=9, help="Highest priority of a new job.")] = None,
    max_datasets_bytes: Bytes = None,
    max_triggers: Limit = None,
    max_webhooks: Limit = None,
    reads_per_minute: Limit = None,
    writes_per_minute: Limit = None,
    keep_jobs_seconds: Retention = None,
    keep_artifacts_seconds: Retention = None,
    keep_layers_seconds: Retention = None,
    keep_audit_seconds: Retention = None,
    as_json: AsJson = False,
) -> None:
    """Set the tenant's own limits, from the next request on; others do not change. 0 per minute means no limit."""
    wanted = {name: value for name, value in locals().items() if value is not None and name not in ("tenant", "as_json")}
    if not wanted:
        raise CommandFailed("name at least one limit, such as --max-queued-jobs 50", 2)
    from service.tenants.audit.operations import note_command
    from service.tenants.quotas import operations

    tenant = _set_in_database(tenant)
    with the_database() as database:
        operations.set_limits(database, tenant, wanted)
        note_command(database, tenant=tenant, action="set_quota", path="/v1/quota")
    show(tenant, as_json)


@app.command()
def reset(tenant: Tenant = None) -> None:
    """Remove the tenant's own limits; the service's settings apply again."""
    from service.tenants.audit.operations import note_command
    from service.tenants.quotas import operations

    tenant = _set_in_database(tenant)
    with the_database() as database:
        operations.set_limits(database, tenant, None)
        note_command(database, tenant=tenant, action="reset_quota", path="/v1/quota")
    typer.echo(f"{tenant} has no limits of its own any more")


def _set_in_database(tenant: str | None) -> str:
    """Return the tenant. Raise CommandFailed if a service is named: no tenant sets its own limits."""
    if api_is_named():
        raise CommandFailed(f"limits are set by the operator, in the database: {TO_DATABASE}", 2)
    return tenant or "default"


def _show_effective(tenant: str | None, as_json: bool) -> None:
    from service.client import Client

    refuse_tenant(tenant)
    with Client(patience=2) as client:
        found = client.quota().model_dump(mode="json", exclude_unset=True)  # a service of an earlier version has fewer limits
    if as_json:
        print_json(found)
        return
    shares = {name: each for name, each in found.items() if isinstance(each, dict)}
    rows = [(name.replace("_", " "), str(each["used"]), _limit(each["limit"])) for name, each in shares.items()]
    rows += [(name.replace("_", " "), "", _limit(each)) for name, each in found.items() if name not in shares]
    print_table(("limit", "used>", "at most>"), rows)


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:.0f}"
