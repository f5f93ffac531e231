"""`dsnot audit`: who did what in the tenant's name."""

from typing import Annotated

import typer

from service.cli.output import AsJson, local_time, note, print_json, print_table


def audit(
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what was done with this key.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this operation, such as cancel_job.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was asked of the service, the newest first; reads are left out. Needs a key with the scope admin."""
    from itertools import islice

    from service.client import Client

    with Client() as client:
        found = list(islice(client.audit(key_id=key, action=action), limit))
    if as_json:
        for entry in found:
            print_json(entry.model_dump(mode="json"))
        return
    rows = [
        (
            local_time(entry.created_at),
            entry.key_id or "command",
            entry.action,
            entry.created or entry.path,
            " ".join(str(each) for each in (entry.status, entry.problem) if each),
        )
        for entry in found
    ]
    if rows:
        print_table(("time", "key", "action", "on", "answer"), rows)
    else:
        note("nothing has been asked yet")
