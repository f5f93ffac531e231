"""`python -m service.dispatcher`: runs until SIGTERM or SIGINT."""

import signal
import sys
import threading

from service.dispatcher.loop import Dispatcher
from service.dispatcher.metrics import REGISTRY
from service.kit.signals import in_thread
from service.ops.metrics.exposing import PortNotUsable, exposed
from service.ops.startup import prepared


def main() -> None:
    """Run the dispatcher until a stop signal."""
    settings = prepared("dispatcher")
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, in_thread(stop.set))
    try:
        with exposed(settings, REGISTRY):
            Dispatcher(settings).run(stop)
    except PortNotUsable as error:
        sys.exit(f"dsnot dispatcher: {error}")


if __name__ == "__main__":
    main()
