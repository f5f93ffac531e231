"""Liveness file for processes without HTTP: a process touches it while it works.

`python -m service.ops.liveness` is the health check of such a container.
"""

import sys
import time
from pathlib import Path
from typing import Final

_PATIENCE_SECONDS: Final = 60.0


def touch(file: Path | None) -> None:
    """Update the file's modification time; failures are ignored, because a stale file reports them."""
    if file is None:
        return
    try:
        file.touch()
    except OSError:
        return


def is_alive(file: Path, *, within_seconds: float = _PATIENCE_SECONDS) -> bool:
    """Return whether the file was touched within the given time."""
    try:
        return time.time() - file.stat().st_mtime <= within_seconds
    except OSError:
        return False


def main() -> int:
    """Return exit status 0 if the process that touches `DSNOT_ALIVE_FILE` is alive."""
    from service.settings import LivenessSettings

    file = LivenessSettings().alive_file
    if file is None:
        sys.stderr.write("DSNOT_ALIVE_FILE is not set\n")
        return 1
    return 0 if is_alive(file) else 1


if __name__ == "__main__":
    sys.exit(main())
