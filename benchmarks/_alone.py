"""One case of a benchmark in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def measured_alone(module: str, case: Sequence[Any]) -> dict[str, Any]:
    """What `python -m MODULE --case CASE` prints in its last line. Raises SystemExit with its complaints, if it fails."""
    command = [sys.executable, "-m", module, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
