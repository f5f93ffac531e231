"""Entry point of the worker: `python -m worker` runs jobs until SIGTERM or SIGINT.

A spawned child imports this module, too, so the import must not start anything.
"""

import os
import sys

from service.logging import configure_logging
from service.ops.metrics.exposing import PortNotUsable
from service.ops.startup import NotUsable, prepared, with_broker_prefix
from service.settings import Settings, get_settings
from worker.app import run
from worker.devices import DeviceLost, NoSuchDevice
from worker.publishing.signing_key import UnusableKey, fingerprint_of


def _check_cache(settings: Settings) -> None:
    folder = settings.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotUsable(f"{folder} cannot be created: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NotUsable(f"{folder} is not writable for user {os.geteuid()}")


def _check_signing_key(settings: Settings) -> None:
    if settings.signing_key is None:
        return
    try:
        fingerprint_of(settings.signing_key)
    except UnusableKey as error:
        raise NotUsable(f"{settings.signing_key} {error}") from error


def _check_in_child() -> None:
    """Check the settings in a child process, because a store's client starts threads, which do not survive a later fork."""
    pid = os.fork()
    if pid == 0:
        prepared("worker", more={"DSNOT_CACHE_DIR": _check_cache, "DSNOT_SIGNING_KEY": _check_signing_key})
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _check_in_child()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format, settings.secrets())
    try:
        sys.exit(run(with_broker_prefix(settings)))
    except (DeviceLost, NoSuchDevice, NotUsable, PortNotUsable) as error:
        sys.exit(f"dsnot worker: {error}")
