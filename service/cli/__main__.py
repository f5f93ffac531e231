"""`dsnot`: command line of the service.

Results go to standard output, everything else to standard error. Exit status: 0 done; 1 failed, with a message on standard error;
2 wrong usage; 3 the watched job or sweep was cancelled; 4 the watched job misses a gate; 130 interrupted.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from service.cli import (
    artifacts,
    audit,
    datasets,
    doctor,
    jobs,
    keys,
    login,
    migrate,
    models,
    quotas,
    recipes,
    signing_in,
    stack,
    stack_logs,
    sweeps,
    triggers,
    up,
    webhooks,
    workers,
)
from service.cli.output import CommandFailed, note


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"dsnot {version('dsnot')}")
        raise typer.Exit


_EXAMPLES = """\
Examples:

dsnot up --detach

dsnot jobs submit org/model --preset fast --sparsity 0.5 --watch

dsnot artifacts download @last

Exit status: 0 done, 1 failed, 2 wrong usage, 3 the watched job or sweep was cancelled, 4 the watched job misses a gate,
130 interrupted."""
_HERE, _WORK, _ADMIN = "Service on this machine", "Jobs and results", "Access and integrations"

app = typer.Typer(
    name="dsnot",
    help="Prune language models, measure them, and publish the results.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


_UP_EXAMPLES = "Examples:\n\ndsnot up --detach\n\ndsnot up --port 8400 --device cuda:1"
_COMMANDS: Final[dict[str, dict[str, Callable[..., None]]]] = {
    _HERE: {
        "up": up.up,
        "down": stack.down,
        "status": stack.status,
        "logs": stack_logs.logs,
        "open": signing_in.open_,
        "doctor": doctor.doctor,
        "migrate": migrate.migrate,
    },
    _WORK: {"workers": workers.workers, "recipes": recipes.recipes},
    _ADMIN: {"login": login.login, "audit": audit.audit},
}
for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel, epilog=_UP_EXAMPLES if _name == "up" else None)(_command)
_GROUPS: Final[dict[str, dict[str, typer.Typer]]] = {
    _WORK: {
        "jobs": jobs.app,
        "sweeps": sweeps.app,
        "artifacts": artifacts.app,
        "models": models.app,
        "datasets": datasets.app,
    },
    _ADMIN: {"keys": keys.app, "quotas": quotas.app, "webhooks": webhooks.app, "triggers": triggers.app},
}
for _panel, _groups in _GROUPS.items():
    for _name, _group in _groups.items():
        app.add_typer(_group, name=_name, rich_help_panel=_panel)


def main() -> None:
    """Run the command; print foreseen errors as one message."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a full disk can still be reported
    except CommandFailed as error:
        fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        _discard_output()
        sys.exit(0)
    except Exception as error:
        fail(sentence(error), 1)


def _discard_output() -> None:
    """Redirect standard output to nowhere, because the interpreter flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sentence(error: Exception) -> str:
    """Return the message for a foreseen error; raise any other error again, because it is a bug."""
    from service.client.errors import ClientError, Unreachable
    from service.embedded.processes import ServerError
    from service.packing.errors import PackingError

    if isinstance(error, Unreachable):
        return f"{error}; start one with `dsnot up`, or name a running one with `dsnot login`, or DSNOT_URL and DSNOT_API_KEY"
    if isinstance(error, ClientError | ServerError | PackingError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
        _discard_output()
        return f"the output cannot be written: {os.strerror(error.errno)}"
    raise error


def fail(message: str, exit_status: int) -> None:
    """Print an error message and exit."""
    note(f"dsnot: {message}")
    sys.exit(exit_status)


if __name__ == "__main__":
    main()
