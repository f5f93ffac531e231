"""`dsnot keys …`: API keys. Uses the database directly, so that the operator can create the first key."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.databases import the_database
from service.cli.output import AsJson, CommandFailed, local_time, note, print_json, print_table, printable

if TYPE_CHECKING:
    from service.database.tables.keys import ApiKey

app = typer.Typer(
    help="Create, list, rotate and revoke API keys, in the database of $DSNOT_DATABASE_URL or of this home's running stack.",
    no_args_is_help=True,
)

Tenant = Annotated[str, typer.Option(help="Tenant of the keys.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The middle part of dsnot_<id>_<secret>.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Display name, such as its purpose.")],
    scope: Annotated[list[str], typer.Option(help="jobs:read, jobs:write, artifacts:read or admin; may be repeated.")],
    tenant: Tenant = "default",
    days: Annotated[int | None, typer.Option(min=1, help="Days until the key expires; by default it never does.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it, once: only its hash is stored."""
    from service.contract.scopes import Scope
    from service.tenants.audit.operations import note_command
    from service.tenants.keys import operations

    unknown = [each for each in scope if each not in list(Scope)]
    if unknown:
        raise CommandFailed(f"there is no scope {unknown[0]!r}; known are {', '.join(Scope)}", 2)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with the_database() as database:
        key, plaintext = operations.create_key(
            database, tenant=tenant, name=name, scopes=[Scope(each) for each in scope], expires_at=expires_at
        )
        note_command(database, tenant=key.tenant, action="create_key", path=f"/v1/keys/{key.id}")
    _show(key, plaintext, as_json=as_json)


@app.command("list")
def list_(tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """List a tenant's keys, newest first. With --json: one line for each."""
    from service.tenants.keys import operations

    with the_database() as database:
        keys = operations.list_keys(database, tenant)
    if as_json:
        for key in keys:
            print_json(_document(key))
        return
    rows = [
        (key.id, key.name, " ".join(key.scopes), local_time(key.created_at), local_time(key.last_used_at), _ends(key))
        for key in keys
    ]
    print_table(("id", "name", "scopes", "created", "last used", "ends"), rows)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[float, typer.Option(min=0, max=720, metavar="HOURS", help="Hours the old secret stays valid.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and show it, once. The old one stays valid for a while."""
    from service.tenants.audit.operations import note_command
    from service.tenants.keys import operations

    with the_database() as database:
        key, plaintext = operations.rotate_key(database, key_id, overlap_seconds=overlap * 3600)
        note_command(database, tenant=key.tenant, action="rotate_key", path=f"/v1/keys/{key.id}/rotate")
    _show(key, plaintext, as_json=as_json)


@app.command()
def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Revoke a key, from the next request on."""
    from service.tenants.audit.operations import note_command
    from service.tenants.keys import operations

    with the_database() as database:
        key = operations.revoke_key(database, key_id)
        note_command(database, tenant=key.tenant, action="revoke_key", path=f"/v1/keys/{key.id}/revoke")
    if as_json:
        print_json(_document(key))
    else:
        typer.echo(printable(f"key {key.id} ({key.name}) is revoked"))


def _show(key: "ApiKey", plaintext: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(key) | {"key": plaintext})
    else:
        typer.echo(plaintext)
        note("it cannot be shown again; send it as `Authorization: Bearer …`, or set DSNOT_API_KEY to it")


def _ends(key: "ApiKey") -> str:
    return f"revoked {local_time(key.revoked_at)}" if key.revoked_at else local_time(key.expires_at)


def _document(key: "ApiKey") -> dict[str, Any]:
    """Return all fields except the hash of the secret."""
    names = ("id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at", "old_secret_until")
    values = {name: getattr(key, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
