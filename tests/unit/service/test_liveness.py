"""The health check of processes that do not speak HTTP."""

import os
import subprocess
import sys
import time
from pathlib import Path

from service.ops import liveness
from tests.support.waiting import CEILING_SECONDS


def check(**environment: str) -> int:
    values = {name: value for name, value in os.environ.items() if not name.startswith("DSNOT_")} | environment
    return subprocess.run(
        [sys.executable, "-m", "service.ops.liveness"], env=values, check=False, timeout=CEILING_SECONDS
    ).returncode


def test_a_recently_touched_file_means_alive(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert check(DSNOT_ALIVE_FILE=str(file)) == 1
    liveness.touch(file)
    assert check(DSNOT_ALIVE_FILE=str(file)) == 0
    old = time.time() - 120
    os.utime(file, (old, old))
    assert check(DSNOT_ALIVE_FILE=str(file)) == 1


def test_nothing_is_touched_if_no_file_is_configured() -> None:
    liveness.touch(None)
    assert check() == 1


def test_a_file_that_is_not_writable_does_not_stop_the_process() -> None:
    liveness.touch(Path("/proc/nowhere/alive"))
