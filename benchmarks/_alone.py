"""One case of a benchmark in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


class ChildFailed(SystemExit):
    """A process that measures came to no good end; its message has the last complaints of it."""


def measured_alone(module: str, case: Sequence[Any]) -> dict[str, Any]:
    """What `python -m MODULE --case CASE` prints in its last line. Raises ChildFailed, which ends the benchmark if uncaught."""
    return last_line([sys.executable, "-m", module, "--case", json.dumps(case)], about=str(case))


def last_line(command: Sequence[str], *, about: str, given: str = "") -> dict[str, Any]:
    """The JSON object that a command prints in its last line, with `given` to read. Raises ChildFailed."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildFailed(f"{about}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
