"""Logging of a test's own process as a worker configures its own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from service.logging import configure_logging
from service.settings import Settings


@contextmanager
def logging_like_a_worker(settings: Settings, *more_secrets: str) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging("INFO", "json", [*settings.secrets(), *more_secrets])
    try:
        yield
    finally:
        configure_logging("INFO", "json")
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)
