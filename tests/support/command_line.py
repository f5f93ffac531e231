"""The `dsnot` command in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import CEILING_SECONDS


def dsnot(*arguments: str, home: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSNOT_")}
    command = [sys.executable, "-m", "service.cli", *arguments]
    values = kept | {"DSNOT_HOME": str(home), "COLUMNS": "200"} | environment
    return subprocess.run(command, capture_output=True, text=True, input=stdin, env=values, check=False, timeout=CEILING_SECONDS)
