"""`dsnot`: command line of the service.

Results go to standard output, everything else to standard error. Exit status: 0 done; 1 failed, with a message on standard error;
2 wrong usage; 3 the watched job or sweep was cancelled; 4 the watched job misses a gate; 130 interrupted.
"""

import errno
import os
import sys

import typer

from service.cli import (
    artifacts,
    audit,
    datasets,
    doctor,
    jobs,
    keys,
    migrate,
    models,
    quotas,
    sweeps,
    triggers,
    up,
    webhooks,
    workers,
)
from service.cli.output import CommandFailed, note

app = typer.Typer(
    name="dsnot",
    help="Prune language models, measure them, and publish the results.",
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 3 the watched job or sweep was cancelled, "
    "4 the watched job misses a gate, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("doctor")(doctor.doctor)
app.command("migrate")(migrate.migrate)
app.command("workers")(workers.workers)
app.command("audit")(audit.audit)
app.add_typer(jobs.app, name="jobs")
app.add_typer(sweeps.app, name="sweeps")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(keys.app, name="keys")
app.add_typer(quotas.app, name="quotas")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(triggers.app, name="triggers")


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
        return f"{error}; start one with `dsnot up`, or set DSNOT_URL and DSNOT_API_KEY to a running one"
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
