"""`dsnot login`: address and API key of a service, for every later command of this user."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import CommandFailed, note

if TYPE_CHECKING:
    from service.client.login import Login


def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="Address of the service; without it, show the login.")
    ] = None,
    logout: Annotated[bool, typer.Option("--logout", help="Delete the stored address and key.")] = False,
) -> None:
    """Store the address of a service and an API key, once the service has accepted the key.

    The key is read from the terminal without echo, or from standard input. The file is readable by this user only.
    DSNOT_URL, DSNOT_API_KEY and DSNOT_HOME take precedence over it.
    """
    from service.client import login as logins

    if logout:
        note("logged out" if logins.remove() else "there was no login")
    elif url is None:
        _show()
    else:
        checked = _checked(url, _read_key())
        file = logins.store(checked)
        note(f"logged in to {checked.url}; address and key are in {file}")
        _warn_of_variables()


def _show() -> None:
    from service.client import login as logins

    found = logins.stored()
    if found is None:
        raise CommandFailed("there is no login; give the address of a service, such as `dsnot login https://dsnot.example`")
    typer.echo(found.url)
    _warn_of_variables()


def _warn_of_variables() -> None:
    found = [name for name in ("DSNOT_URL", "DSNOT_API_KEY", "DSNOT_HOME") if os.environ.get(name)]
    if found:
        verb = "is set and takes" if len(found) == 1 else "are set and take"
        note(f"warning: {' and '.join(found)} {verb} precedence over the login")


def _read_key() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("API key", hide_input=True, err=True))
    return sys.stdin.readline()


def _checked(url: str, key: str) -> "Login":
    """Return address and key as the client normalises them. Raises ClientError: the service does not accept them."""
    from service.client import Client, Forbidden, discovery
    from service.client.login import Login

    address = discovery.address(url, key)
    with Client(*address, patience=2) as client, suppress(Forbidden):  # a valid key may lack the scope jobs:read
        client.quota()
    return Login(*address)
