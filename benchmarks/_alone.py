"""Isolated benchmark cases: each runs in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


class ChildFailed(SystemExit):
    """Failure of a measuring process; the message has the end of its standard error."""


def measured_alone(module: str, case: Sequence[Any]) -> dict[str, Any]:
    """Return the JSON object that `python -m MODULE --case CASE` prints last. Raises ChildFailed, which ends the benchmark."""
    return last_line([sys.executable, "-m", module, "--case", json.dumps(case)], about=str(case))


def last_line(command: Sequence[str], *, about: str, given: str = "") -> dict[str, Any]:
    """Return the JSON object in a command's last line of output; `given` is its standard input. Raises ChildFailed."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildFailed(f"{about}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
