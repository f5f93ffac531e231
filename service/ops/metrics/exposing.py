"""Prometheus port of the processes that serve no other HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from service.settings import Settings


class PortNotUsable(Exception):
    """Start-up error: the metrics port cannot be opened."""


@contextmanager
def exposed(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Serve the registry at `DSNOT_METRICS_PORT` while the body runs, if the variable is set.

    Raises:
        PortNotUsable: the port is in use, or the host has no such address.
    """
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        place = f"{settings.metrics_host}:{settings.metrics_port}"
        raise PortNotUsable(f"DSNOT_METRICS_PORT: cannot listen at {place}: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
