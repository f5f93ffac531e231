"""A port for Prometheus, for the processes that answer no HTTP otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from service.settings import Settings


class PortNotUsable(Exception):
    """The sentence for whoever starts the process."""


@contextmanager
def exposed(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Meanwhile everything of the registry can be read at `DSNOT_METRICS_PORT`, if that is set.

    Raises:
        PortNotUsable: the port is somebody else's, or there is no such address here.
    """
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        place = f"{settings.metrics_host}:{settings.metrics_port}"
        raise PortNotUsable(f"DSNOT_METRICS_PORT: {place} cannot be listened at: {error.strerror}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
