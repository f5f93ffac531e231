"""`dsnot artifacts …`: fetching what came out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.output import AsJson, note, print_json, size

if TYPE_CHECKING:
    from service.client import DsnotClient
    from service.contract import Manifest

app = typer.Typer(help="Download pruned checkpoints.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `download` a subcommand although it is the only one."""


@app.command()
def download(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The id of a job that succeeded.")],
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to; a folder named after the job by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a job's checkpoint; every file is checked against its SHA-256 and appears whole or not at all.

    Repeated, it goes on where it stopped. Exit status: 0 everything is there and right, 1 it is not.
    """
    from service.client import DsnotClient

    folder = to or Path(f"dsnot-{job_id}")
    with DsnotClient(patience=10) as client:
        manifest = _download(client, job_id, folder)
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": [file.model_dump() for file in manifest.files]})
    else:
        typer.echo(str(folder))
        total = size(sum(file.bytes for file in manifest.files))
        note(f"{len(manifest.files)} files, {total}, all as the manifest says; load it with")
        note(f"  AutoModelForCausalLM.from_pretrained({str(folder)!r})")


def _download(client: "DsnotClient", job_id: str, folder: Path) -> "Manifest":
    """Download behind a bar on standard error, which is shown on a terminal only."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    there: dict[str, int] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        manifest = client.manifest(job_id)
        task = bar.add_task("", total=sum(file.bytes for file in manifest.files))

        def received(path: str, count: int) -> None:
            there[path] = count
            bar.update(task, description=path, completed=sum(there.values()))

        return client.download(job_id, folder, received)
