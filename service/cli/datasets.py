"""`dsnot datasets …`: data sets for calibration and evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import DATASET, ID_OR_NAME, complete_id
from service.cli.output import AsJson, local_time, note, print_json, print_records

if TYPE_CHECKING:
    from service.client.datasets import Dataset

app = typer.Typer(help="Upload, list and delete data sets.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help=f"The upload's {ID_OR_NAME}; see `dsnot datasets list`.")]


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Text (.txt) or JSON Lines (.jsonl, .ndjson).")],
    name: Annotated[str | None, typer.Option(help="Display name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a text and print its id, for --dataset and --evaluate of `dsnot jobs submit`.

    In plain text, documents are separated by blank lines; in JSON Lines, each line is an object with a string `text`.
    """
    from service.client import Client

    with Client() as client:
        made = client.datasets.upload(file, name=name)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(made.id)
        note(f"{made.documents} documents; calibration takes the first 90 %, evaluation the rest")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the data sets that jobs may use, built-in ones first. With --json: one line for each."""
    from service.client import Client

    with Client() as client:
        found = list(client.datasets.list())
    print_records(found, ("id", "name", "splits", "documents>", "bytes>", "created", "jobs>"), _row, as_json=as_json)


@app.command()
def delete(dataset: Id) -> None:
    """Delete an upload that no job needs."""
    from service.client import Client

    with Client() as client:
        dataset = complete_id(client, DATASET, dataset)
        client.datasets.delete(dataset)
    note(f"data set {dataset} is deleted")


def _row(each: "Dataset") -> tuple[str, ...]:
    counts = ["" if count is None else str(count) for count in (each.documents, each.bytes, each.used_by_jobs)]
    created = local_time(each.created_at) if each.created_at else ""
    return (each.id, each.name, " ".join(each.splits), counts[0], counts[1], created, counts[2])
