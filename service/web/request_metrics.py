"""Metrics of requests: rate, status and duration."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS_PATH: Final = "/metrics"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """ASGI middleware with one histogram for rate, errors and duration.

    Event streams count until they end. Seconds waited because of `Prefer: wait` are subtracted.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "dsnot_http_request_seconds",
            "Duration of HTTP requests in seconds, by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
            buckets=_BUCKETS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observe the request's duration."""
        if scope["type"] != "http" or scope["path"] == METRICS_PATH:
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            labels = (_method(scope), _route(scope), str(status))
            waited = scope.get("state", {}).get("waited_seconds", 0.0)
            self._seconds.labels(*labels).observe(time.perf_counter() - began - waited)


def _method(scope: Scope) -> str:
    """Return the method, or `other`, because arbitrary methods would make label cardinality unbounded."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    """Return the route's template, so that ids in paths do not become labels."""
    return getattr(scope.get("route"), "path", "unmatched")
