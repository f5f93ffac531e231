"""Output of all commands: results on standard output, everything else on standard error, `--json` for programs."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from service.kit import quantities

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.table import Table

    from service.client import Trigger, Webhook

Record = TypeVar("Record", bound="BaseModel")

AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output, for programs.")]


class CommandFailed(Exception):
    """Failure of a command; the message is for the user."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def print_json(document: Any) -> None:
    """Print a document as JSON on one line."""
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Nothing is truncated if not on a terminal."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = 1000
    console.print(table_of(columns, rows))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Return a table; columns whose name ends with `>` are right-aligned, those whose name ends with `!` are not folded."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        table.add_column(column.rstrip(">!"), justify=justify, overflow="fold", no_wrap=column.endswith("!"))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def print_records(
    found: Sequence[Record], columns: Sequence[str], row: Callable[[Record], Sequence[str]], *, as_json: bool, nothing: str = ""
) -> None:
    """Print a table of records, or `nothing` instead of an empty one; with `as_json` a line for each, without its secret."""
    if as_json:
        for each in found:
            print_json(each.model_dump(mode="json", exclude={"secret", "key"}))
    elif nothing and not found:
        note(nothing)
    else:
        print_table(columns, [row(each) for each in found])


def print_secret(noun: str, made: "Webhook | Trigger", *, as_json: bool) -> None:
    """Print the new secret of a webhook or trigger, or with `as_json` all of it."""
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(made.secret or "")
        note(f"{noun} {made.id}; the secret cannot be shown again")


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each; leave out empty values."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {printable(value)}")


def printable(text: str) -> str:
    """Return the text without characters that control a terminal, such as ESC in a name that someone has chosen."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def note(message: str) -> None:
    """Print a message that is not a result, on standard error."""
    typer.echo(printable(message), err=True)


def local_time(moment: datetime | None) -> str:
    """Return the time in the local time zone, or an empty cell for None."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def duration(seconds: float | None) -> str:
    """Return `2 min 10 s`, or an empty cell for None."""
    return "" if seconds is None else quantities.duration(seconds)


def counted(done: int, total: int, unit: str) -> str:
    """Return progress in words: `3 of 12 blocks`, `1.23 GB of 5.1 GB`."""
    return f"{quantities.size(done)} of {quantities.size(total)}" if unit == "bytes" else f"{done} of {total} {unit}"
