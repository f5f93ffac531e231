"""Metrics for Prometheus; no key required, and no job, tenant or key ids in labels."""

import asyncio
import time
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool

from service.web.request_metrics import METRICS_PATH

router = APIRouter(include_in_schema=False)

_KEEP_SECONDS: Final = 1.0


class Exposition:
    """Metrics in the Prometheus text format, generated at most once a second by one thread, however many clients scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._made: asyncio.Task[bytes] | None = None
        self._began = 0.0

    async def latest(self) -> bytes:
        """Return the text."""
        if self._made is None or (self._made.done() and time.monotonic() - self._began >= _KEEP_SECONDS):
            self._began = time.monotonic()
            self._made = asyncio.create_task(run_in_threadpool(generate_latest, self._registry))
        return await asyncio.shield(self._made)


@router.head(METRICS_PATH)
@router.get(METRICS_PATH)
async def metrics(request: Request) -> Response:
    """Return all metrics in the Prometheus text format."""
    return Response(await request.app.state.exposition.latest(), media_type=CONTENT_TYPE_LATEST)
