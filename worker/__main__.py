"""`python -m worker`: takes jobs until SIGTERM or SIGINT. Its child imports this module, too, and must not start anything."""

import sys

from service.settings import get_settings
from worker.app import run
from worker.devices import NoSuchDevice

if __name__ == "__main__":
    try:
        sys.exit(run(get_settings()))
    except NoSuchDevice as error:
        sys.exit(f"worker: {error}")
