"""`python -m worker`: takes jobs until SIGTERM or SIGINT. Its child imports this module, too, and must not start anything."""

import sys

from service.settings import get_settings
from worker.app import run

if __name__ == "__main__":
    sys.exit(run(get_settings()))
