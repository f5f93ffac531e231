"""Command line page, from the help of the `dsnot` command."""

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from service.cli.__main__ import app

_HEAD = """\
# Command line

Generated from `dsnot --help`.
Results go to standard output, messages to standard error; `--json` prints JSON for programs.
`DSNOT_URL` and `DSNOT_API_KEY` name the service and the key; without them the command uses the embedded stack of `$DSNOT_HOME`.
`keys`, `quotas` and `migrate` work on the database of `DSNOT_DATABASE_URL`.
"""


def page() -> str:
    """Return the page in Markdown."""
    command = get_command(app)
    docs = get_docs_for_click(obj=command, ctx=typer.Context(command), name="dsnot", indent=1)
    return f"{_HEAD}\n{docs}"
