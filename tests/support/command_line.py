"""The `dsnot` command in a process of its own."""

import os
import subprocess
from pathlib import Path

from tests.support import fork_server


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSNOT_")}
    return kept | {"DSNOT_HOME": str(home), "COLUMNS": "200", "DSNOT_DEVICE": "cpu"} | more


def dsnot(home: Path, *arguments: str, stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    """One command, to its end; Python processes that it starts are forked from it."""
    return fork_server.run(["tests.support.forking", "service.cli", *arguments], environment(home, **more), stdin)


def executing_dsnot(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One command, to its end; processes that it starts are executed, as a user's are."""
    return fork_server.run(["service.cli", *arguments], environment(home))
