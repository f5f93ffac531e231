"""Command line page, from the help of the `dsnot` command."""

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from service.cli.__main__ import app

_HEAD = """\
# Command line

Generated from `dsnot --help`.
Results go to standard output, messages to standard error; `--json` prints JSON for programs.
`DSNOT_URL` and `DSNOT_API_KEY` name the service and the key.
Without them the command uses `dsnot login`, else the embedded stack of `$DSNOT_HOME`.
`migrate` and `quotas set`/`reset` work on the database of `DSNOT_DATABASE_URL`.
So do `keys` and `quotas show` where no service is named.
Ids may be shortened to their first four or more characters; a name works as well; `@last` is the newest job or sweep.
`dsnot --install-completion` adds completion to your shell.
"""


def page() -> str:
    """Return the page in Markdown."""
    command = get_command(app)
    docs = get_docs_for_click(obj=command, ctx=typer.Context(command), name="dsnot", indent=1)
    return f"{_HEAD}\n{docs}"
