"""`dsnot models …`: inspection of any model, and import to this host's disk, for the host's operator."""

import os
import subprocess
import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import JOB, complete_id
from service.cli.output import AsJson, CommandFailed, note, print_fields, print_json, print_records
from service.kit.quantities import gib

if TYPE_CHECKING:
    from service.client.answers import ModelInfo


class Dtype(StrEnum):
    """Type of weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


app = typer.Typer(help="Inspect models; manage local ones.", no_args_is_help=True)


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="Hub id, or with --source a local folder or an earlier job.")],
    source: Annotated[str, typer.Option(metavar="hub|local|job", help="Source of the model.")] = "hub",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub model.")] = None,
    token: Annotated[str | None, typer.Option(help="Name of a hub token that the operator keeps, for gated models.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model and whether it can be pruned, without downloading its weights. Exit status: 0 it can be, 1 it cannot."""
    from service.client import Client

    with Client() as client:
        model = complete_id(client, JOB, model) if source == "job" else model
        found = client.models.inspect(model, source=source, revision=revision, token=token)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print_fields(_facts(found))
        for warning in found.warnings:
            note(warning)
    if not found.can_be_pruned:
        raise CommandFailed(f"it cannot be pruned: {found.why_not}")


def _facts(found: "ModelInfo") -> list[tuple[str, str]]:
    return [
        ("model", str(found.model["id"])),
        ("revision", found.model.get("revision") or ""),
        ("architecture", found.architecture or ""),
        ("parameters", f"{found.parameters:,} in {found.dtype}, {gib(found.weight_bytes)}"),
        ("blocks", str(found.blocks)),
        ("prunable", f"{found.prunable_share:.1%} of all parameters, {found.coverage:.1%} of those in blocks"),
        ("longest input", f"{found.max_sequence_length:,} tokens" if found.max_sequence_length else ""),
        ("licence", found.license or ""),
    ]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the local models, for `dsnot jobs submit MODEL --source local`. With --json: one line for each."""
    from service.client import Client

    with Client(patience=2) as client:
        found = client.models.list()
    nothing = "no local models, or the service cannot read the workers' folder; `dsnot models import` puts one there"
    print_records(found, ("model", "source"), lambda each: (each.id, each.source), as_json=as_json, nothing=nothing)


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(exists=True, help="A GGUF file, or a folder with safetensors and config.json.")],
    name: Annotated[str | None, typer.Option(help="Id of the imported model; the source's name by default.")] = None,
    dequantize: Annotated[bool, typer.Option(help="Convert weights in fp8 or MXFP4 to bfloat16.")] = False,
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="Type of a GGUF file's weights; by default that in which this processor is fastest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a model into the model root ($DSNOT_MODEL_ROOT, else this home's), for jobs with `--source local`.

    A GGUF file of an architecture that transformers can load is converted to a plain safetensors checkpoint. Importing the same
    source twice changes nothing.
    """
    model_id = name or _default_name(source)
    destination = local_place(model_id)
    options = ["--dequantize"] if dequantize else []
    import_model(source, destination, *options, *(["--dtype", dtype] if dtype else []))
    if as_json:
        print_json({"id": model_id, "path": str(destination)})
    else:
        typer.echo(model_id)
        note(f"prune it with `dsnot jobs submit {model_id} --source local`")


def import_model(source: Path, destination: Path, *options: str) -> None:
    """Convert or copy in a subprocess, because it needs torch; its output goes to standard error.

    `options` are those of `worker.gguf_import`.

    Raises:
        CommandFailed: the import failed; the subprocess has printed why.
    """
    if find_spec("torch") is None:
        raise CommandFailed("importing needs the worker's dependencies: pip install 'dsnot[worker]'")
    command = [sys.executable, "-m", "worker.gguf_import", str(source), str(destination), *options]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise CommandFailed(f"{source} was not imported")


def local_place(model_id: str) -> Path:
    """Return the folder of a local model.

    Raises:
        CommandFailed: the id is not a plain name.
    """
    from pydantic import ValidationError

    from service.client.discovery import this_home
    from service.contract.model_spec import ModelSpec

    try:
        ModelSpec(source="local", id=model_id)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise CommandFailed(f"{model_id!r} cannot be a model's name: {reason}; choose one with --name", 2) from error
    root = Path(os.environ.get("DSNOT_MODEL_ROOT") or this_home() / "models")
    return root / model_id


def _default_name(source: Path) -> str:
    source = source.resolve()
    return source.name if source.is_dir() else source.stem
