"""`dsnot artifacts …`: fetching what came out, and what can be done with it on one's own disk."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import AsJson, CommandFailed, note, print_json
from service.kit.quantities import size

if TYPE_CHECKING:
    from service.client import Client
    from service.contract import Manifest
    from service.packing.header import FileFacts
    from service.packing.signatures import SignatureFault

app = typer.Typer(help="Download, unpack and verify pruned checkpoints.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="An artifact, as `dsnot artifacts download` leaves it.")]


@app.command()
def download(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The id of a job that succeeded.")],
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to; a folder named after the job by default.")] = None,
    unpacking: Annotated[bool, typer.Option("--unpack", help="Unpack packed weights, too, as `unpack` does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a job's checkpoint; every file is checked against its SHA-256 and appears whole or not at all.

    Repeated, it goes on where it stopped. Exit status: 0 everything is there and right, 1 it is not.
    """
    from service.client import Client
    from service.contract import MANIFEST_NAME

    folder = to or Path(f"dsnot-{job_id}")
    with Client(patience=10) as client:
        manifest = _download(client, job_id, folder)
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1), "utf-8")
    if unpacking:
        _unpack(folder, None)
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": [file.model_dump() for file in manifest.files]})
    else:
        typer.echo(str(folder))
        total = size(sum(file.bytes for file in manifest.files))
        note(f"{len(manifest.files)} files, {total}, all as the manifest says; {_next(folder, manifest, unpacking)}")


@app.command()
def unpack(
    folder: Folder,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Make a complete checkpoint there; else beside them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the safetensors files of packed weights, bit for bit those of the dense artifact. Exit status: 0 done, 1 refused."""
    _tell(to or folder, _unpack(folder, to), as_json)


@app.command("apply-mask")
def apply_mask(
    folder: Folder,
    base: Annotated[Path, typer.Option(metavar="MODEL", help="The folder of the model that was pruned, in that revision.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to make the complete checkpoint.")],
    as_json: AsJson = False,
) -> None:
    """Make the pruned checkpoint of a mask and the model that it was made of. Exit status: 0 done, 1 refused."""
    from service import packing

    with _bar() as told:
        files = packing.apply_mask(folder, base, to, told)
    _tell(to, files, as_json)


@app.command()
def verify(
    folder: Folder,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The public key of whoever signed it, in PEM: check the signature, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a folder against its manifest and checksums, and its packed files and masks against themselves.

    With --key also against its signature: every file has to be there as it was signed, and no other.

    Exit status: 0 all is as it was published, 1 something is not, and each fault is told.
    """
    from service import packing
    from service.contract import SIGNATURE_NAME

    with _bar() as told:
        found = packing.verify(folder, told)
    distrust = _signature_fault(folder, key, found.restored) if key else None
    if as_json:
        faults = [{"path": fault.path, "type": fault.type, "detail": str(fault)} for fault in found.faults]
        faults += [{"path": SIGNATURE_NAME, "type": distrust.type, "detail": str(distrust)}] if distrust else []
        print_json({"folder": str(folder.absolute()), "files": found.files, "faults": faults})
    for fault in found.faults:
        note(str(fault))
    if distrust:
        raise CommandFailed(str(distrust))
    if found.faults:
        raise CommandFailed(f"{len(found.faults)} of {len(found.files)} files are not as they were published")
    note(f"{len(found.files)} files, all as they were {'signed' if key else 'published'}")


def _signature_fault(folder: Path, key: Path, made: Sequence[str]) -> "SignatureFault | None":
    from service.packing.signatures import SignatureFault, check_signature

    try:
        check_signature(folder, key, made)
    except SignatureFault as fault:
        return fault
    return None


def _unpack(folder: Path, to: Path | None) -> "Sequence[FileFacts]":
    from service import packing

    with _bar() as told:
        return packing.unpack(folder, to, told)


def _tell(folder: Path, files: "Sequence[FileFacts]", as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": [file.model_dump() for file in files]})
    else:
        typer.echo(str(folder))
        note(f"{len(files)} safetensors files, {size(sum(file.bytes for file in files))}; {_loading(folder)}")


def _loading(folder: Path) -> str:
    return f"load it with\n  AutoModelForCausalLM.from_pretrained({str(folder)!r})"


def _next(folder: Path, manifest: "Manifest", unpacked: bool) -> str:
    """What to do with what was downloaded."""
    if "dense" in manifest.formats or unpacked:
        return _loading(folder)
    if "packed" in manifest.formats:
        return f"unpack it with\n  dsnot artifacts unpack {folder}"
    return f"apply the mask with\n  dsnot artifacts apply-mask {folder} --base MODEL --to DIR"


@contextmanager
def _bar() -> "Iterator[Callable[[int], None]]":
    """What is told of bytes shows how many they are, on a terminal only."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.advance(task, count)


def _download(client: "Client", job_id: str, folder: Path) -> "Manifest":
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
