"""`dsnot up`: the embedded stack in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import AsJson, note, print_fields, print_json

if TYPE_CHECKING:
    from service.embedded.stack import Stack


def up(
    home: Annotated[
        Path | None, typer.Option(help="Folder for all data; by default $DSNOT_HOME, else a folder of the user.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the HTTP API; by default 8321 if free, else any.")
    ] = None,
    device: Annotated[
        str, typer.Option(envvar="DSNOT_DEVICE", help="cpu, cuda, cuda:1, …; auto uses the GPUs, if there are any.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of workers; by default one per GPU, or one on the CPU.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C: PostgreSQL, Valkey, the HTTP API, the dispatcher and workers.

    Its data are kept for the next `dsnot up`. Exit status: 0 stopped as requested; 1 could not start, or a process crashed.
    """
    from service.client.discovery import this_home
    from service.embedded.stack import running
    from service.embedded.stop_request import StopRequest

    place = home or this_home()
    with StopRequest() as stop:
        with running(place, port=port, device=device, workers=workers, say=note, asked_to_stop=stop.asked) as stack:
            if not stop.asked():
                _tell(stack, as_json)
            stack.wait_for_stop(stop.asked)
        note("stopped")


def _tell(stack: "Stack", as_json: bool) -> None:
    processes = {name: child.process.pid for name, child in stack.children.items()}
    if as_json:
        print_json({"url": stack.url, "home": str(stack.home), "api_key_file": str(stack.api_key_file), "processes": processes})
        return
    print_fields(
        [
            ("dashboard", f"{stack.url}/ (sign in with the API key)"),
            ("HTTP API", f"{stack.url} (described at {stack.url}/docs)"),
            ("API key", f"in {stack.api_key_file}; the dsnot command finds it there"),
            ("models", str(stack.model_root)),
            ("logs", str(stack.home / "logs")),
        ]
    )
    note(f"ready; Ctrl-C stops it, its data stay in {stack.home}")
