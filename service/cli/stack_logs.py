"""`dsnot logs`: the log files of the embedded stack."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from service.cli.output import CommandFailed, printable
from service.cli.up import Home

_POLL_SECONDS: Final = 0.3


def logs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PROCESS]...", help="service, worker, dispatcher, …; all by default.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each file.")] = 20,
    home: Home = None,
) -> None:
    """Print the last lines of the logs of this home's stack, each with the name of its process. Reads files only."""
    from service.client.discovery import this_home

    folder = (home or this_home()).expanduser().absolute() / "logs"
    tails = [_Tail(path) for path in _files(folder, names or ())]
    width = max(len(tail.path.stem) for tail in tails)
    for tail in tails:
        _print(tail, width, deque(tail.new_lines(), maxlen=lines))
    try:
        while follow:
            time.sleep(_POLL_SECONDS)
            known = {tail.path for tail in tails}
            tails += [_Tail(path) for path in _files(folder, names or ()) if path not in known]
            for tail in tails:
                _print(tail, width, tail.new_lines())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _files(folder: Path, names: Sequence[str]) -> list[Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if not found:
        raise CommandFailed(f"there are no logs in {folder}; `dsnot up` writes them")
    for name in names:
        if name not in found:
            raise CommandFailed(f"there is no log of {name}; there are {', '.join(found)}", 2)
    return [path for name, path in found.items() if not names or name in names]


def _print(tail: "_Tail", width: int, lines: "Sequence[str] | Iterator[str] | deque[str]") -> None:
    for line in lines:
        typer.echo(f"{tail.path.stem:<{width}}  {printable(line)}")


class _Tail:
    """A log file, read as it grows; a new file of the same name, after a restart, is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode, self._offset, self._partial = -1, 0, b""

    def new_lines(self) -> Iterator[str]:
        """Yield the complete lines that have been added since the last call."""
        try:
            with self.path.open("rb") as file:
                self._follow_to(file.fileno())
                file.seek(self._offset)
                for line in file:
                    self._offset += len(line)
                    self._partial += line
                    if line.endswith(b"\n"):
                        yield self._partial.decode(errors="replace").rstrip("\n")
                        self._partial = b""
        except FileNotFoundError:
            return

    def _follow_to(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._inode, self._offset, self._partial = found.st_ino, 0, b""
