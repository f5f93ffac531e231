"""`dsnot audit`: audit log of a tenant."""

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import ID_OR_NAME, KEY, complete_id
from service.cli.output import AsJson, local_time, print_records

if TYPE_CHECKING:
    from service.client import AuditEntry


def audit(
    key: Annotated[str | None, typer.Option(metavar="ID", help=f"Only requests with this key: its {ID_OR_NAME}.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this operation, such as cancel_job.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the requests that may have changed something, newest first. Needs a key with the scope admin."""
    from itertools import islice

    from service.client import Client

    with Client() as client:
        key = complete_id(client, KEY, key) if key else None
        found = list(islice(client.audit(key_id=key, action=action), limit))
    columns = ("time", "key", "action", "on", "answer")
    print_records(found, columns, _row, as_json=as_json, nothing="the audit log has no entries")


def _row(entry: "AuditEntry") -> tuple[str, ...]:
    outcome = " ".join(str(each) for each in (entry.status, entry.problem) if each)
    return (local_time(entry.created_at), entry.key_id or "command", entry.action, entry.created or entry.path, outcome)
