"""`dsnot artifacts …`: download, unpack and verify artifacts."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import JOB, JobId, complete_id
from service.cli.output import AsJson, CommandFailed, note, print_json, print_records, printable
from service.kit.quantities import size

if TYPE_CHECKING:
    from service.client import Client, Job
    from service.contract.artifacts import Manifest
    from service.packing.header import FileFacts
    from service.packing.signatures import SignatureFault

app = typer.Typer(help="List, download, unpack and verify pruned checkpoints.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an artifact from `dsnot artifacts download`.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the artifacts that can be downloaded, newest job first. With --json: one line for each job."""
    from itertools import islice

    from service.client import Client

    with Client(patience=2) as client:
        there = (job for job in client.jobs.list(state="succeeded") if job.artifact_removed_at is None)
        found = list(islice(there, limit))
    columns = ("job!", "model", "sparsity", "formats", "size>")
    print_records(found, columns, _artifact_row, as_json=as_json, nothing="no artifacts; a job that succeeds publishes one")


def _artifact_row(job: "Job") -> tuple[str, ...]:
    from service.cli.comparing import SHORT
    from service.contract.recipe.names import pattern_name

    formats = " ".join(job.spec.get("output", {}).get("formats", ()))
    return (
        job.id[:SHORT],
        job.model,
        pattern_name(job.spec["recipe"]),
        formats,
        size((job.metric_values or {}).get("bytes") or 0),
    )


@app.command()
def download(
    job_id: JobId,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Target folder; dsnot-JOB by default.")] = None,
    unpacking: Annotated[bool, typer.Option("--unpack", help="Also unpack packed weights, as `unpack` does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a job's artifact; every file is checked against its SHA-256 and written atomically.

    Repeat the command to resume a download. Exit status: 0 all files are complete and correct, 1 failed.
    """
    from service.client import Client
    from service.contract.artifacts import MANIFEST_NAME

    with Client(patience=10) as client:
        job_id = complete_id(client, JOB, job_id)
        folder = to or Path(f"dsnot-{job_id}")
        manifest = _download(client, job_id, folder)
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1), "utf-8")
    if unpacking:
        _unpack(folder, None)
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": [file.model_dump() for file in manifest.files]})
    else:
        typer.echo(str(folder))
        total = size(sum(file.bytes for file in manifest.files))
        note(f"{len(manifest.files)} files, {total}, all match the manifest; {_next(folder, manifest, unpacking)}")


@app.command()
def unpack(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a complete checkpoint there; by default into FOLDER.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the safetensors files of packed weights, bit-identical to the dense artifact. Exit status: 0 done, 1 refused."""
    _tell(to or folder, _unpack(folder, to), as_json)


@app.command("apply-mask")
def apply_mask(
    folder: Folder,
    base: Annotated[Path, typer.Option(metavar="MODEL", help="Folder of the model that was pruned, at the same revision.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Target folder of the complete checkpoint.")],
    as_json: AsJson = False,
) -> None:
    """Make the pruned checkpoint from a mask and the source model. Exit status: 0 done, 1 refused."""
    from service import packing

    with _bar() as advance:
        files = packing.apply_mask(folder, base, to, advance)
    _tell(to, files, as_json)


@app.command()
def verify(
    folder: Folder,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The signer's public key, in PEM: also check the signature.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a folder against its manifest and checksums, and its packed files and masks for consistency.

    With --key also check the signature: every signed file has to be there unchanged, and no other.

    Exit status: 0 all files are as published, 1 some are not; each fault is listed.
    """
    from service import packing
    from service.contract.signatures import SIGNATURE_NAME

    with _bar() as advance:
        found = packing.verify(folder, advance)
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

    with _bar() as advance:
        return packing.unpack(folder, to, advance)


def _tell(folder: Path, files: "Sequence[FileFacts]", as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder.absolute()), "files": [file.model_dump() for file in files]})
    else:
        typer.echo(str(folder))
        note(f"{len(files)} safetensors files, {size(sum(file.bytes for file in files))}; {_loading(folder)}")


def _loading(folder: Path) -> str:
    from service.contract.checkpoints import loading_class

    config = folder / "config.json"
    name = loading_class(json.loads(config.read_bytes()) if config.is_file() else {})
    return f"load it with\n  {name}.from_pretrained({str(folder)!r})"


def _next(folder: Path, manifest: "Manifest", unpacked: bool) -> str:
    """Return the next step after a download."""
    if "dense" in manifest.formats or unpacked:
        return _loading(folder)
    if "packed" in manifest.formats:
        return f"unpack it with\n  dsnot artifacts unpack {folder}"
    return f"apply the mask with\n  dsnot artifacts apply-mask {folder} --base MODEL --to DIR"


@contextmanager
def _bar() -> "Iterator[Callable[[int], None]]":
    """Show a byte counter on a terminal; yield the function that advances it."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.advance(task, count)


def _download(client: "Client", job_id: str, folder: Path) -> "Manifest":
    """Download with a progress bar on standard error, on a terminal only."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    there: dict[str, int] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        manifest = client.jobs.manifest(job_id)
        task = bar.add_task("", total=sum(file.bytes for file in manifest.files))

        def received(path: str, count: int) -> None:
            there[path] = count
            bar.update(task, description=printable(path), completed=sum(there.values()))

        return client.jobs.download(job_id, folder, received)
