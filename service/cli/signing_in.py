"""`dsnot open`: the dashboard in a browser, signed in by a one-time link."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import AsJson, note, print_json

if TYPE_CHECKING:
    from service.client import SignInLink
    from service.embedded.record import StackRecord


def open_(
    print_only: Annotated[bool, typer.Option("--print", help="Print the link only, and start no browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs in to the dashboard, and open it in a browser, if this machine has one.

    The link works once, within a minute. The session has the scopes of the API key and ends with it.
    """
    from service.client import Client

    with Client(patience=2) as client:
        link = client.create_sign_in_link()
    if as_json:
        print_json(link.model_dump(mode="json"))
        return
    typer.echo(link.url)
    is_opened = not print_only and _opened(link.url)
    note(f"{'opened in a browser; ' if is_opened else ''}it works once, within {link.valid_seconds:.0f} s")


def home_link(home: Path, record: "StackRecord") -> "SignInLink":
    """Return a link to the dashboard of the stack on this home."""
    from service.client import Client
    from service.embedded.record import API_KEY_FILE

    with Client(record.url, (home / API_KEY_FILE).read_text().strip()) as client:
        return client.create_sign_in_link()


def _opened(url: str) -> bool:
    """Open a browser with windows; one within the terminal, or none, is not started."""
    import webbrowser

    has_windows = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        return has_windows and webbrowser.open(url)
    except (OSError, webbrowser.Error):
        return False
