"""`python -m service.dispatcher`: runs until SIGTERM or SIGINT."""

import signal
import threading

from service.dispatcher.loop import Dispatcher
from service.startup import prepared


def main() -> None:
    settings = prepared("dispatcher")
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    Dispatcher(settings).run(stop)


if __name__ == "__main__":
    main()
