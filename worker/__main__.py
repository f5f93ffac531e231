"""Entry point of the worker: `python -m worker` runs jobs until SIGTERM or SIGINT.

A spawned child imports this module, too, so the import must not start anything.
"""

import os
import sys

from service.ops.metrics.exposing import PortNotUsable
from service.ops.startup import NotUsable, prepared
from service.settings import Settings
from worker.app import run
from worker.devices import NoSuchDevice


def _check_cache(settings: Settings) -> None:
    folder = settings.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotUsable(f"{folder} cannot be created: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotUsable(f"{folder} is not writable for user {os.geteuid()}")


if __name__ == "__main__":
    settings = prepared("worker", more={"DSNOT_CACHE_DIR": _check_cache})
    try:
        sys.exit(run(settings))
    except (NoSuchDevice, PortNotUsable) as error:
        sys.exit(f"dsnot worker: {error}")
