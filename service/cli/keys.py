"""`dsnot keys …`: API keys, by the API where a service is named, else in the database, where the first key is created."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import ID_OR_NAME, KEY, only_match
from service.cli.key_access import key_calls
from service.cli.output import AsJson, CommandFailed, local_time, note, print_json, print_records, printable

if TYPE_CHECKING:
    from service.client import Key

app = typer.Typer(
    help="Create, list, rotate and revoke API keys: through the API where DSNOT_URL or `dsnot login` names a service, "
    "else in the database of $DSNOT_DATABASE_URL or of this home's running stack.",
    no_args_is_help=True,
)

Tenant = Annotated[
    str | None, typer.Option(help="Tenant of the keys, `default` by default; only in the database.", show_default=False)
]
KeyId = Annotated[
    str, typer.Argument(metavar="ID", help=f"The key's {ID_OR_NAME}; the id is the middle part of dsnot_<id>_<secret>.")
]


@app.command(epilog="Examples:\n\ndsnot keys create --name pipeline --scope jobs:read --scope jobs:write --days 90")
def create(
    name: Annotated[str, typer.Option(help="Display name, such as its purpose.")],
    scope: Annotated[list[str], typer.Option(help="jobs:read, jobs:write, artifacts:read or admin; may be repeated.")],
    tenant: Tenant = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until the key expires; by default it never does.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it, once: only its hash is stored."""
    from service.contract.scopes import Scope

    if not name.strip():
        raise CommandFailed("--name is empty; name the purpose of the key, so that it can be recognized later", 2)
    unknown = [each for each in scope if each not in list(Scope)]
    if unknown:
        raise CommandFailed(f"there is no scope {unknown[0]!r}; known are {', '.join(Scope)}", 2)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with key_calls(tenant) as calls:
        _show(calls.create(name, scope, expires_at=expires_at), as_json=as_json)


@app.command("list")
def list_(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the keys, newest first. With --json: one line for each."""
    with key_calls(tenant) as calls:
        found = list(calls.list())
    print_records(found, ("id", "name", "scopes", "created", "last used", "ends"), _row, as_json=as_json)


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[float, typer.Option(min=0, max=720, metavar="HOURS", help="Hours the old secret stays valid.")] = 24,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and show it, once. The old one stays valid for a while."""
    with key_calls(tenant) as calls:
        _show(calls.rotate(only_match(KEY, key_id, calls.list()), overlap_seconds=round(overlap * 3600)), as_json=as_json)


@app.command()
def revoke(key_id: KeyId, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Revoke a key, from the next request on."""
    with key_calls(tenant) as calls:
        key = calls.revoke(only_match(KEY, key_id, calls.list()))
    if as_json:
        print_json(key.model_dump(mode="json", exclude={"key"}))
    else:
        typer.echo(printable(f"key {key.id} ({key.name}) is revoked"))


def _show(key: "Key", *, as_json: bool) -> None:
    if as_json:
        print_json(key.model_dump(mode="json"))
    else:
        typer.echo(key.key or "")
        note("it cannot be shown again; send it as `Authorization: Bearer …`, or set DSNOT_API_KEY to it")


def _row(key: "Key") -> tuple[str, ...]:
    ends = f"revoked {local_time(key.revoked_at)}" if key.revoked_at else local_time(key.expires_at)
    return (key.id, key.name, " ".join(key.scopes), local_time(key.created_at), local_time(key.last_used_at), ends)
