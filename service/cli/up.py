"""`dsnot up`: the whole service on this machine, in the foreground or detached from the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import AsJson, note, print_fields, print_json

if TYPE_CHECKING:
    from service.embedded.record import StackRecord
    from service.embedded.stack import Stack

Home = Annotated[Path | None, typer.Option(help="Folder for all data; by default $DSNOT_HOME, else a folder of the user.")]


def up(
    home: Home = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the HTTP API; by default 8321 if free, else any.")
    ] = None,
    device: Annotated[
        str, typer.Option(envvar="DSNOT_DEVICE", help="cpu, cuda, cuda:1, …; auto uses the GPUs, if there are any.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of workers; by default one per GPU, or one on the CPU.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running; `dsnot down` stops it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C: PostgreSQL, Valkey, the HTTP API, the dispatcher and workers.

    Its data are kept for the next `dsnot up`. A worker or dispatcher that crashes is started again.

    Exit status: 0 stopped as requested (with --detach: ready); 1 could not start, or a server crashed.
    """
    from service.client.discovery import this_home

    place = (home or this_home()).expanduser().absolute()
    if detach:
        from service.cli.detaching import start_detached

        record = start_detached(place, port=port, device=device, workers=workers)
        _show_detached(place, record, as_json)
        _warn(record.url, port)
    else:
        _run(place, port, device, workers, as_json)


def _run(home: Path, port: int | None, device: str, workers: int | None, as_json: bool) -> None:
    from service.embedded.stack import running
    from service.embedded.stop_request import StopRequest

    with StopRequest() as stop:
        with running(home, port=port, device=device, workers=workers, say=note, asked_to_stop=stop.asked) as stack:
            if not stop.asked():
                _show(stack, as_json)
                _warn(stack.url, port)
            stack.wait_for_stop(stop.asked, note)
        note("stopped")


def _show(stack: "Stack", as_json: bool) -> None:
    processes = {name: child.process.pid for name, child in stack.children.items()}
    if as_json:
        print_json(_document(stack.url, stack.home, processes))
        return
    print_fields(_facts(stack.url, stack.home, "`dsnot open` prints a link that signs in"))
    note(f"ready; Ctrl-C stops it, its data stay in {stack.home}")


def _show_detached(home: Path, record: "StackRecord", as_json: bool) -> None:
    from service.cli.signing_in import home_link

    if as_json:
        print_json(_document(record.url, home, record.processes))
        return
    link = home_link(home, record)
    print_fields([*_facts(record.url, home, "`dsnot open` prints another link"), ("sign in", link.url)])
    note(f"ready; the link works once, within {link.valid_seconds:.0f} s; `dsnot down` stops the stack, its data stay in {home}")


def _warn(url: str, wanted: int | None) -> None:
    """Warn of another port than usual, and of a login that other commands use instead of this stack."""
    from service.client import NotConfigured, login
    from service.embedded.stack import PREFERRED_PORT

    if wanted is None and not url.endswith(f":{PREFERRED_PORT}"):
        note(
            f"warning: port {PREFERRED_PORT} is in use by another program; this stack is at {url} instead; --port chooses a port"
        )
    try:
        found = login.active()
    except NotConfigured as error:
        note(f"warning: {error}")
    else:
        if found:
            note(f"warning: other commands use {found.url}, by `dsnot login`; `dsnot login --logout` makes them use this stack")


def _document(url: str, home: Path, processes: dict[str, int]) -> dict[str, object]:
    from service.embedded.record import API_KEY_FILE

    return {"url": url, "home": str(home), "api_key_file": str(home / API_KEY_FILE), "processes": processes}


def _facts(url: str, home: Path, signing_in: str) -> list[tuple[str, str]]:
    from service.embedded.record import API_KEY_FILE

    return [
        ("dashboard", f"{url}/ ({signing_in})"),
        ("HTTP API", f"{url} (described at {url}/docs)"),
        ("API key", f"in {home / API_KEY_FILE}; the dsnot command finds it there"),
        ("models", str(home / "models")),
        ("logs", f"{home / 'logs'}; `dsnot logs` prints them"),
    ]
