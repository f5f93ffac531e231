"""`python -m service.dispatcher`: runs until SIGTERM or SIGINT."""

import signal
import threading

from service.dispatcher.loop import Dispatcher
from service.logging import configure_logging
from service.settings import get_settings


def main() -> None:
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    Dispatcher(settings).run(stop)


if __name__ == "__main__":
    main()
