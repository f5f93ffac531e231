"""`dsnot keys …`: API keys. Works on the database itself, so that whoever runs the service can make the first one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.output import AsJson, CommandFailed, local_time, note, print_json, print_table

if TYPE_CHECKING:
    from service.database import Database
    from service.keys.tables import ApiKey

app = typer.Typer(
    help="Make, list and revoke API keys, in the database of $DSNOT_DATABASE_URL or of this home's running stack.",
    no_args_is_help=True,
)

Tenant = Annotated[str, typer.Option(help="Whose jobs it is about.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for; for people.")],
    scope: Annotated[list[str], typer.Option(help="jobs:read, jobs:write, artifacts:read or admin; may be repeated.")],
    tenant: Tenant = "default",
    days: Annotated[int | None, typer.Option(min=1, help="Works for so many days; for good by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once: only its hash is kept."""
    from service.contract import Scope
    from service.keys import operations

    unknown = [each for each in scope if each not in list(Scope)]
    if unknown:
        raise CommandFailed(f"there is no scope {unknown[0]!r}; known are {', '.join(Scope)}", 2)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with _database() as database:
        key, plaintext = operations.create_key(
            database, tenant=tenant, name=name, scopes=[Scope(each) for each in scope], expires_at=expires_at
        )
    if as_json:
        print_json(_document(key) | {"key": plaintext})
    else:
        typer.echo(plaintext)
        note("it cannot be shown again; send it as `Authorization: Bearer …`, or set DSNOT_API_KEY to it")


@app.command("list")
def list_(tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """List a tenant's keys, the newest first. With --json: one line for each."""
    from service.keys import operations

    with _database() as database:
        keys = operations.list_keys(database, tenant)
    if as_json:
        for key in keys:
            print_json(_document(key))
        return
    rows = [(key.id, key.name, " ".join(key.scopes), local_time(key.created_at), _ends(key)) for key in keys]
    print_table(("id", "name", "scopes", "created", "ends"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The middle part of dsnot_<id>_<secret>.")], as_json: AsJson = False
) -> None:
    """Make a key useless from the next request on."""
    from service.errors import NotFound
    from service.keys import operations

    with _database() as database:
        try:
            key = operations.revoke_key(database, key_id)
        except NotFound as error:
            raise CommandFailed(error.detail) from error
    if as_json:
        print_json(_document(key))
    else:
        typer.echo(f"key {key.id} ({key.name}) is revoked")


@contextmanager
def _database() -> Iterator["Database"]:
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from service.client.discovery import running_stack
    from service.database import Database
    from service.settings import HomeSettings

    url = os.environ.get("DSNOT_DATABASE_URL") or running_stack(HomeSettings().home).database_url
    try:
        database = Database(url, pool_size=1)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    try:
        yield database
    except OperationalError as error:
        raise CommandFailed("the database does not answer; is DSNOT_DATABASE_URL right?") from error
    except ProgrammingError as error:
        raise CommandFailed("the database has not the tables of this service; bring it up to date first") from error
    finally:
        database.close()


def _ends(key: "ApiKey") -> str:
    return f"revoked {local_time(key.revoked_at)}" if key.revoked_at else local_time(key.expires_at)


def _document(key: "ApiKey") -> dict[str, Any]:
    """All but the hash of the secret."""
    names = ("id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at")
    values = {name: getattr(key, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
